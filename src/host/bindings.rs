//! Generated bindings of what Spin has for the component beside WASI's worlds: variables, and key-value in both its forms.

mod generated {
    wasmtime::component::bindgen!({
        // `wasi:keyvalue` is there, for the component uses the same file.
        path: "wit",
        inline: r#"
            package cedargate:host;

            world imports {
                import spin:variables/variables@3.0.0;
                import spin:key-value/key-value@3.0.0;
                import wasi:keyvalue/store@0.2.0-draft2;
                import wasi:keyvalue/atomics@0.2.0-draft2;
            }

            package spin:variables@3.0.0 {
                interface variables {
                    get: async func(name: string) -> result<string, error>;
                    variant error {
                        invalid-name(string),
                        undefined(string),
                        provider(string),
                        other(string),
                    }
                }
            }

            package spin:key-value@3.0.0 {
                interface key-value {
                    resource store {
                        open: static async func(label: string) -> result<store, error>;
                        get: async func(key: string) -> result<option<list<u8>>, error>;
                        set: async func(key: string, value: list<u8>) -> result<_, error>;
                        delete: async func(key: string) -> result<_, error>;
                        exists: async func(key: string) -> result<bool, error>;
                        get-keys: async func() -> tuple<stream<string>, future<result<_, error>>>;
                    }
                    variant error {
                        store-table-full,
                        no-such-store,
                        access-denied,
                        other(string)
                    }
                }
            }
        "#,
        world: "cedargate:host/imports",
        // Synchronous for the component, but not for the threads that serve.
        imports: { "wasi:keyvalue/store": async | trappable, "wasi:keyvalue/atomics": async | trappable, default: trappable },
        with: {
            "spin:key-value/key-value.store": crate::host::key_value::Store,
            "wasi:keyvalue/store.bucket": crate::host::key_value::Store,
            "wasi:keyvalue/atomics.cas": crate::host::atomics::Swap,
        },
    });
}

pub use generated::spin::key_value::key_value;
pub use generated::spin::variables::variables;
pub use generated::wasi::keyvalue::{atomics, store as buckets};

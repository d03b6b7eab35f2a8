//! Generated bindings of the two Spin interfaces the component may import beside WASI.

mod generated {
    wasmtime::component::bindgen!({
        inline: r#"
            package cedargate:host;

            world imports {
                import spin:variables/variables@3.0.0;
                import spin:key-value/key-value@3.0.0;
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
        imports: { default: trappable },
        with: { "spin:key-value/key-value.store": crate::host::key_value::Store },
    });
}

pub use generated::spin::key_value::key_value;
pub use generated::spin::variables::variables;

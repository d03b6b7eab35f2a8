//! The Spin shell: the only code that touches `spin_sdk` and `wasi:http`.
//!
//! It reads the clock, draws randomness, reads variables, streams bodies and writes the record. What to do is decided
//! elsewhere; this module carries it out. It exports `wasi:http/handler` without spin-sdk's `http_service` macro, because
//! that macro turns a request it cannot parse into a bare error before the gate could deny and record it.

mod answers;
mod bindings;
mod carry;
mod exchange;
mod fetch;
mod handler;
mod keys;
mod known;
mod records;
mod replay;
mod revocations;
mod sealed;
mod settings;
mod sign;
mod sink;
mod status;
mod store;

/// Instead of the C library's, which was the largest part of a profile (docs/adr/0008-less-for-each-request.md).
#[global_allocator]
static ALLOCATOR: talc::wasm::WasmDynamicTalc = talc::wasm::new_wasm_dynamic_allocator();

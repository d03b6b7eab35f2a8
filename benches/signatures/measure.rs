//! Verification in wasm, prepared and with `ring`, both in the same run of one component (`benches/signatures`).

use std::path::Path;

use cedargate::host::engine;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, Store};
use wasmtime_wasi::p2::bindings::Command;
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::support::gate::runtime;

/// The aims, as shares of the time `ring` takes.
const AIMS: [(&str, f64); 3] = [("ES256", 0.35), ("RS256-2048", 0.70), ("EdDSA", 0.75)];

/// One kind of key: microseconds of a verification with `ring` and prepared, of preparing, and the bytes that takes.
pub struct Row {
    pub name: String,
    pub ring: f64,
    pub prepared: f64,
    pub preparing: f64,
    pub bytes: u64,
}

impl Row {
    pub fn share(&self) -> f64 {
        self.prepared / self.ring
    }

    pub fn aim(&self) -> Option<f64> {
        AIMS.iter().find(|(aimed, _)| *aimed == self.name).map(|(_, aim)| *aim)
    }
}

/// Measures all kinds of key with this component; none when it is not built.
pub fn rows(path: &Path) -> Option<Vec<Row>> {
    let Ok(bytes) = std::fs::read(path) else {
        println!("not measured, {} is not built (`make bench` builds it)\n", path.display());
        return None;
    };
    let row = |line: &str| {
        let fields: Vec<&str> = line.split(' ').collect();
        let [name, ring, prepared, preparing, bytes] = fields[..] else { panic!("five fields: {line}") };
        let number = |text: &str| text.parse().unwrap();
        Row {
            name: name.to_owned(),
            ring: number(ring),
            prepared: number(prepared),
            preparing: number(preparing),
            bytes: bytes.parse().unwrap(),
        }
    };
    Some(run(&bytes, &["signatures", "measure"]).lines().map(row).collect())
}

/// What a command component prints.
fn run(bytes: &[u8], arguments: &[&str]) -> String {
    let engine: Engine = engine().unwrap();
    let component = Component::new(&engine, bytes).unwrap();
    let mut linker = Linker::<Room>::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker).unwrap();
    let output = MemoryOutputPipe::new(64 * 1024);
    let wasi = WasiCtx::builder().args(arguments).stdout(output.clone()).inherit_stderr().build();
    let mut store = Store::new(&engine, Room { wasi, table: ResourceTable::new() });
    // Nothing else runs on this thread.
    store.set_epoch_deadline(u64::MAX / 2);
    let status = runtime().block_on(async {
        let command = Command::instantiate_async(&mut store, &component, &linker).await.unwrap();
        command.wasi_cli_run().call_run(&mut store).await.unwrap()
    });
    let output = String::from_utf8(output.contents().to_vec()).unwrap();
    assert!(status.is_ok(), "{output}");
    output
}

struct Room {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Room {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

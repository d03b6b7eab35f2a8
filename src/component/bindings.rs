//! Generated glue: the exports of the component, and the imports its SDK has not. Nothing else needs `unsafe`.
#![expect(unsafe_code, reason = "generated canonical ABI glue")]

use spin_sdk::wasip3::exports::http::handler::Guest as Handler;
use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};

/// The export that sealing calls, and that is gone afterwards.
mod sealable {
    spin_sdk::wit_bindgen::generate!({
        path: "wit",
        world: "sealable",
        runtime_path: "::spin_sdk::wit_bindgen::rt",
    });
    export!(Component);

    pub(super) struct Component;
}

mod serving {
    spin_sdk::wit_bindgen::generate!({
        path: "wit",
        world: "serving",
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        generate_all,
    });
}

pub(super) use serving::wasi::keyvalue::{atomics, store as buckets};

impl sealable::Guest for sealable::Component {
    fn initialize(files: Vec<(String, Vec<u8>)>, build: String) -> Result<String, String> {
        super::sealed::initialize(files, build)
    }
}

struct Service;

spin_sdk::wasip3::http::service::export!(Service with_types_in spin_sdk::wasip3);

impl Handler for Service {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        super::handler::handle(request).await
    }
}

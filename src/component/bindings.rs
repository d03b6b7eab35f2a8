//! Generated glue: the exports of the component. Nothing else needs `unsafe`.
#![expect(unsafe_code, reason = "generated canonical ABI glue")]
#![expect(clippy::allow_attributes_without_reason, clippy::as_conversions, reason = "generated")]

use spin_sdk::wasip3::exports::http::handler::Guest as Handler;
use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};

/// The export that sealing calls, and that is gone afterwards.
mod sealable {
    spin_sdk::wit_bindgen::generate!({
        inline: r#"
            package cedargate:gate@0.1.0;

            world sealable {
                /// Loads the files of a bundle. The answer is JSON about the gate, the error a report for a person.
                export initialize: func(files: list<tuple<string, list<u8>>>) -> result<string, string>;
            }
        "#,
        runtime_path: "::spin_sdk::wit_bindgen::rt",
    });
    export!(Component);

    pub(super) struct Component;
}

impl sealable::Guest for sealable::Component {
    fn initialize(files: Vec<(String, Vec<u8>)>) -> Result<String, String> {
        super::sealed::initialize(files)
    }
}

struct Service;

spin_sdk::wasip3::http::service::export!(Service with_types_in spin_sdk::wasip3);

impl Handler for Service {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        super::handler::handle(request).await
    }
}

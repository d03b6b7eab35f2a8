//! AWS Signature Version 4 in the query: presigned URLs for S3 and what speaks its protocol (R2, MinIO).
//!
//! Source: Amazon S3 API Reference, "Authenticating Requests: Using Query Parameters (AWS Signature Version 4)". Byte for byte
//! what botocore makes; the payload is not signed (`UNSIGNED-PAYLOAD`).

use std::fmt;

use ring::hmac;

use super::{FormatError, encoded};
use crate::bundle::{Digest, hex};
use crate::limits;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const SERVICE: &str = "s3";
/// The parameters of the signature itself.
const RESERVED: [&str; 7] = [
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-Security-Token",
    "X-Amz-Signature",
    "X-Amz-SignedHeaders",
];

/// An access key.
#[derive(Clone)]
pub struct Credentials {
    /// Its public half.
    pub access_key_id: String,
    /// Its secret half.
    pub secret_access_key: String,
    /// Of temporary credentials, the token that goes with them.
    pub session_token: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

/// Where the bucket's name stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// In the path.
    Path,
    /// In the host.
    VirtualHost,
}

/// A bucket at a service.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// Whether it is reached over TLS.
    pub endpoint_https: bool,
    /// Host and port of the service.
    pub endpoint_host: String,
    /// The region; `auto` for R2.
    pub region: String,
    /// The bucket.
    pub bucket: String,
    /// Where the bucket's name stands.
    pub style: Style,
}

/// A presigned URL for one method and object. `key` is decoded, `query` what else is asked, decoded and in order.
///
/// # Errors
/// The lifetime is not 1 to 604,800 seconds, the time cannot be written, or `query` has a parameter of the signature itself.
pub fn presign(
    bucket: &Bucket,
    credentials: &Credentials,
    method: &str,
    key: &str,
    query: &[(String, String)],
    now: i64,
    expires_in: i64,
) -> Result<String, FormatError> {
    if !(1..=limits::LINK_SECONDS).contains(&expires_in) {
        return Err(FormatError::Lifetime);
    }
    // SECURITY: which of two `X-Amz-Expires` counts is the service's affair.
    if let Some(name) = RESERVED.into_iter().find(|reserved| query.iter().any(|(name, _)| name.eq_ignore_ascii_case(reserved))) {
        return Err(FormatError::Reserved(name));
    }
    let Credentials { access_key_id, secret_access_key, session_token } = credentials;
    let Bucket { endpoint_https, endpoint_host, region, bucket, style } = bucket;
    let (host, path) = match style {
        Style::VirtualHost => (format!("{bucket}.{endpoint_host}"), format!("/{}", encoded(key, b"/"))),
        Style::Path => (endpoint_host.clone(), format!("/{}/{}", encoded(bucket, b""), encoded(key, b"/"))),
    };
    let time = basic_time(now).ok_or(FormatError::Time)?;
    let date = time.split('T').next().unwrap_or_default();
    let scope = format!("{date}/{region}/{SERVICE}/aws4_request");
    let mut parameters: Vec<(String, String)> = query.iter().map(|(name, value)| (encoded(name, b""), encoded(value, b""))).collect();
    let mut add = |name: &str, value: &str| parameters.push((name.to_owned(), encoded(value, b"")));
    add("X-Amz-Algorithm", ALGORITHM);
    add("X-Amz-Credential", &format!("{access_key_id}/{scope}"));
    add("X-Amz-Date", &time);
    add("X-Amz-Expires", &expires_in.to_string());
    add("X-Amz-SignedHeaders", "host");
    if let Some(token) = session_token {
        add("X-Amz-Security-Token", token);
    }
    // S3 neither normalises the path nor encodes it a second time.
    let canonical = format!(
        "{method}\n{path}\n{}\nhost:{}\n\nhost\nUNSIGNED-PAYLOAD",
        joined(&sorted(&parameters)),
        signed_host(&host, *endpoint_https)
    );
    let to_sign = format!("{ALGORITHM}\n{time}\n{scope}\n{}", Digest::of(canonical.as_bytes()));
    let key = [date, region, SERVICE, "aws4_request"]
        .iter()
        .fold(format!("AWS4{secret_access_key}").into_bytes(), |key, part| mac(&key, part.as_bytes()));
    let signature = hex(&mac(&key, to_sign.as_bytes()));
    let scheme = if *endpoint_https { "https" } else { "http" };
    Ok(format!("{scheme}://{host}{path}?{}&X-Amz-Signature={signature}", joined(&parameters)))
}

/// The host as clients send it: without the port of the scheme.
fn signed_host(host: &str, https: bool) -> &str {
    host.strip_suffix(if https { ":443" } else { ":80" }).unwrap_or(host)
}

fn sorted(parameters: &[(String, String)]) -> Vec<(String, String)> {
    let mut sorted = parameters.to_vec();
    sorted.sort();
    sorted
}

fn joined(parameters: &[(String, String)]) -> String {
    parameters.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec()
}

/// `20130524T000000Z` (ISO 8601, basic format).
fn basic_time(seconds: i64) -> Option<String> {
    let whole = crate::audit::Timestamp { seconds: crate::decision::UnixTime(seconds), millis: 0 };
    let text = (0..=limits::LATEST_SECONDS).contains(&seconds).then(|| whole.to_string())?;
    let (seconds, _) = text.split_once('.')?;
    Some(format!("{}Z", seconds.replace(['-', ':'], "")))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// "Authenticating Requests: Using Query Parameters (AWS Signature Version 4)", the example at its end.
    #[test]
    fn the_example_of_the_specification() {
        let credentials = Credentials {
            access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
            session_token: None,
        };
        let bucket = Bucket {
            endpoint_https: true,
            endpoint_host: "s3.amazonaws.com".to_owned(),
            region: "us-east-1".to_owned(),
            bucket: "examplebucket".to_owned(),
            style: Style::VirtualHost,
        };
        let url = presign(&bucket, &credentials, "GET", "test.txt", &[], 1_369_353_600, 86400).unwrap();
        assert!(url.starts_with("https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&"), "{url}");
        assert!(url.ends_with("X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"), "{url}");
        for bad in [0, -1, 604_801] {
            assert_eq!(presign(&bucket, &credentials, "GET", "a", &[], 0, bad), Err(FormatError::Lifetime));
        }
        assert_eq!(presign(&bucket, &credentials, "GET", "a", &[], -1, 1), Err(FormatError::Time));
        let twice = [("x-amz-expires".to_owned(), "604800".to_owned())];
        assert_eq!(presign(&bucket, &credentials, "GET", "a", &twice, 0, 1), Err(FormatError::Reserved("X-Amz-Expires")));
        assert!(!format!("{credentials:?}").contains("wJalr"));
    }

    /// Made by botocore: `tests/data/signed_urls/make-sigv4.py`.
    #[test]
    fn every_url_is_the_one_botocore_makes() {
        let vectors: Value = serde_json::from_str(include_str!("../../../tests/data/signed_urls/sigv4.json")).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let cases = vectors["cases"].as_array().unwrap();
        assert!(cases.len() > 300, "{}", cases.len());
        for case in cases {
            let credentials = Credentials {
                access_key_id: text(&case["access_key_id"]),
                secret_access_key: text(&case["secret_access_key"]),
                session_token: case["session_token"].as_str().map(str::to_owned),
            };
            let bucket = Bucket {
                endpoint_https: case["https"].as_bool().unwrap(),
                endpoint_host: text(&case["host"]),
                region: text(&case["region"]),
                bucket: text(&case["bucket"]),
                style: if case["style"] == "path" { Style::Path } else { Style::VirtualHost },
            };
            let query: Vec<_> = case["query"].as_array().unwrap().iter().map(|pair| (text(&pair[0]), text(&pair[1]))).collect();
            let (method, key) = (text(&case["method"]), text(&case["key"]));
            let url =
                presign(&bucket, &credentials, &method, &key, &query, case["now"].as_i64().unwrap(), case["expires_in"].as_i64().unwrap());
            assert_eq!(url.unwrap(), text(&case["url"]), "{case}");
        }
    }
}

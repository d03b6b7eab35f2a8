//! What a deployment configures: Spin variables, read at most once a second.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::LocalKey;

use spin_sdk::variables::{self, Error};
use spin_sdk::wasip3::clocks::monotonic_clock;
use spin_sdk::wasip3::random::random;

use super::known;
use crate::audit::sink::Target;
use crate::decision::Mode;
use crate::enforce::{Destination, Origin};
use crate::identity::{Deployment, PublicUrl, Secret, SignatureBackend};
use crate::limits;
use crate::policy::Scan;
use crate::request::Proxies;
use crate::signed_url::{Keyring, ServiceCredentials};

/// How long settings are believed. A variable is a host call, and may be a network call of the runtime's provider.
const LIFETIME_NS: u64 = 1_000_000_000;

/// The values of the component's variables.
#[derive(Debug)]
pub(super) struct Settings {
    /// Where permitted requests go, or why that is unusable. Kept as a value: it only matters to a permitted request.
    pub(super) destination: Result<Destination, String>,
    pub(super) region: String,
    /// Whether what policies deny ends here.
    pub(super) mode: Mode,
    pub(super) proxies: Proxies,
    pub(super) timeouts: Timeouts,
    /// What the deployment says about itself and its terminator.
    pub(super) deployment: Deployment,
    /// Whether a request is recorded before it is let through.
    pub(super) record_first: bool,
    /// Of how many requests in a hundred policies on trial are asked.
    shadow_sample: u64,
    /// Whether tokens that verified are remembered.
    pub(super) token_cache: bool,
    /// Which policies are put to Cedar.
    pub(super) scan: Scan,
    /// The label of the key-value store; `None` when the deployment has none.
    pub(super) store: Option<String>,
    /// How long what the store said of a revocation is believed, in nanoseconds.
    pub(super) revocation_lifetime: u64,
}

impl Settings {
    /// Whether policies on trial are asked about this request.
    pub(super) fn on_trial(&self) -> bool {
        // 16 bits: no share is off by more than a thousandth.
        let draw = || random::get_random_bytes(2).into_iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(byte));
        match self.shadow_sample {
            0 => false,
            100.. => true,
            share => draw().checked_rem(100).is_some_and(|draw| draw < share),
        }
    }
}

/// Timeouts of the exchange with the origin, in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeouts {
    pub(super) connect: u64,
    pub(super) first_byte: u64,
    pub(super) between_bytes: u64,
}

/// Where records go beside standard output.
#[derive(Debug)]
pub(super) struct Sink {
    pub(super) target: Target,
    /// Where the gate is.
    pub(super) region: String,
}

thread_local! {
    static CACHE: RefCell<Option<(u64, Rc<Settings>)>> = const { RefCell::new(None) };
    // No text, nothing in it.
    static KEYRING: RefCell<(String, Arc<Keyring>)> = RefCell::default();
    static AUDIT: RefCell<(String, Arc<Keyring>)> = RefCell::default();
    static SINK: RefCell<Option<Rc<Sink>>> = const { RefCell::new(None) };
    static SERVICES: RefCell<(String, Arc<ServiceCredentials>)> = RefCell::default();
}

/// The current settings.
///
/// # Errors
/// Which variable is unusable, for the record.
pub(super) async fn current() -> Result<Rc<Settings>, String> {
    let now = monotonic_clock::now();
    let cached = CACHE.with_borrow(|cache| match cache {
        Some((read_at, settings)) if now.saturating_sub(*read_at) < LIFETIME_NS => Some(settings.clone()),
        _ => None,
    });
    if let Some(settings) = cached {
        return Ok(settings);
    }
    let settings = Rc::new(read().await?);
    CACHE.with_borrow_mut(|cache| *cache = Some((now, settings.clone())));
    Ok(settings)
}

/// The audit keys that were read last, for records of requests that no settings could be read for.
pub(super) fn audit_keys() -> Arc<Keyring> {
    AUDIT.with_borrow(|(_, keys)| keys.clone())
}

/// The sink that was configured last, for the same records and for those that wait.
pub(super) fn sink() -> Option<Rc<Sink>> {
    SINK.with_borrow(Option::clone)
}

/// A variable that is read into something, and again only when its text is another one: keys are costly to read.
async fn parsed<T: Default>(
    cache: &'static LocalKey<RefCell<(String, Arc<T>)>>,
    name: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Arc<T>, String> {
    let text = get(name).await?.unwrap_or_default();
    if let Some(kept) = cache.with_borrow(|(known, kept)| (*known == text).then(|| kept.clone())) {
        return Ok(kept);
    }
    let value = parse(&text).map_err(|error| format!("variable `{name}`: {error}"))?;
    let value = Arc::new(value);
    cache.with_borrow_mut(|cache| *cache = (text, value.clone()));
    Ok(value)
}

async fn read() -> Result<Settings, String> {
    let destination = match get("origin").await? {
        Some(text) => Origin::parse(&text).map(Destination::Origin).map_err(|e| e.to_string()),
        None => Err("variable `origin` is not set".to_owned()),
    };
    let region = get("edge_region").await?.unwrap_or_else(|| "local".to_owned());
    // First, and kept beside the settings: what records are chained with and where they go is needed even where the settings cannot
    // be read.
    parsed(&AUDIT, "audit_keys", Keyring::parse).await?;
    sink_of(&region).await?;
    let mode = Mode::parse(&get("mode").await?.unwrap_or_default())?;
    let trusted_hops = number("trusted_hops", 0).await?;
    let trusted_hops = usize::try_from(trusted_hops)
        .ok()
        .filter(|hops| *hops <= limits::TRUSTED_HOPS)
        .ok_or_else(|| format!("variable `trusted_hops` must be at most {}", limits::TRUSTED_HOPS))?;
    let timeouts = Timeouts {
        connect: millis("origin_connect_timeout_ms", 2_000).await?,
        first_byte: millis("origin_first_byte_timeout_ms", 15_000).await?,
        between_bytes: millis("origin_between_bytes_timeout_ms", 15_000).await?,
    };
    let public_url = match get("public_url").await? {
        None => None,
        Some(text) => Some(PublicUrl::parse(&text).ok_or("variable `public_url` must be `https://host[:port]`")?),
    };
    let deployment = Deployment {
        public_url,
        terminator_secrets: secrets(["mtls_terminator_secret", "mtls_terminator_secret_previous"]).await?,
        nonce_secrets: secrets(["dpop_nonce_secret", "dpop_nonce_secret_previous"]).await?,
        keyring: parsed(&KEYRING, "signed_url_keys", Keyring::parse).await?,
        services: parsed(&SERVICES, "signed_url_credentials", ServiceCredentials::parse).await?,
        signatures: match get("signature_backend").await? {
            None => SignatureBackend::default(),
            Some(name) => SignatureBackend::from_name(&name).ok_or("variable `signature_backend` must be `prepared` or `ring`")?,
        },
    };
    let record_first = match get("audit_mode").await?.as_deref() {
        None | Some("after") => false,
        Some("before") => true,
        Some(_) => return Err("variable `audit_mode` must be `after` or `before`".to_owned()),
    };
    let shadow_sample = number("shadow_sample", 100).await?;
    if shadow_sample > 100 {
        return Err("variable `shadow_sample` must be from 0 to 100".to_owned());
    }
    let token_cache = switch("token_cache").await?;
    if !token_cache {
        known::forget();
    }
    let scan = if switch("policy_index").await? { Scan::Index } else { Scan::Everything };
    let store = get("key_value_store").await?;
    // 0 asks the store each time.
    let revocation_lifetime = number("revocation_cache_ms", 1_000).await?;
    if revocation_lifetime > limits::REVOCATION_CACHE_MS {
        return Err(format!("variable `revocation_cache_ms` must be at most {}", limits::REVOCATION_CACHE_MS));
    }
    let revocation_lifetime = revocation_lifetime.saturating_mul(1_000_000);
    Ok(Settings {
        destination,
        region,
        mode,
        proxies: Proxies { trusted_hops },
        timeouts,
        deployment,
        record_first,
        shadow_sample,
        token_cache,
        scan,
        store,
        revocation_lifetime,
    })
}

async fn sink_of(region: &str) -> Result<(), String> {
    let target = match get("audit_sink").await? {
        // The other three say nothing without it.
        None => None,
        Some(format) => {
            let mut values = [const { String::new() }; 3];
            for (value, name) in values.iter_mut().zip(["audit_sink_url", "audit_sink_token", "audit_sink_region"]) {
                *value = get(name).await?.unwrap_or_default();
            }
            let [url, token, sink_region] = values;
            Target::parse(&format, &url, &token, &sink_region)?
        }
    };
    SINK.with_borrow_mut(|sink| *sink = target.map(|target| Rc::new(Sink { target, region: region.to_owned() })));
    Ok(())
}

/// The secrets that are set, in order.
async fn secrets(names: [&str; 2]) -> Result<Vec<Secret>, String> {
    let mut secrets = Vec::new();
    for name in names {
        if let Some(text) = get(name).await? {
            let short = || format!("variable `{name}` must have at least {} bytes", Secret::BYTES);
            secrets.push(Secret::new(text.into_bytes()).ok_or_else(short)?);
        }
    }
    Ok(secrets)
}

/// A variable; `None` when the manifest has none of that name, or it is empty.
async fn get(name: &str) -> Result<Option<String>, String> {
    match variables::get(name).await {
        Ok(value) if value.is_empty() => Ok(None),
        Ok(value) => Ok(Some(value)),
        Err(Error::Undefined(_)) => Ok(None),
        Err(Error::InvalidName(_) | Error::Provider(_) | Error::Other(_)) => Err(format!("variable `{name}` could not be read")),
    }
}

/// `on`, which it is where nothing is said, or `off`.
async fn switch(name: &str) -> Result<bool, String> {
    match get(name).await?.as_deref() {
        None | Some("on") => Ok(true),
        Some("off") => Ok(false),
        Some(_) => Err(format!("variable `{name}` must be `on` or `off`")),
    }
}

async fn number(name: &str, default: u64) -> Result<u64, String> {
    match get(name).await? {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| format!("variable `{name}` must be a whole number")),
    }
}

async fn millis(name: &str, default: u64) -> Result<u64, String> {
    let value = number(name, default).await?;
    if value == 0 { Err(format!("variable `{name}` must not be 0")) } else { Ok(value.saturating_mul(1_000_000)) }
}

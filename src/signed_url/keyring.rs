//! The keys that sign links: a deployment's secret, several at once, so that one can take over from another.
//!
//! The keyring is the value of the variable `signed_url_keys`: JSON with a version, documented in `docs/signed-urls.md`.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use crate::identity::members::Members;
use crate::limits;

/// Fewest bytes of a secret for HMAC-SHA-256: as many as the MAC has (RFC 2104, section 3).
const SECRET_BYTES: usize = 32;

/// What a key may still be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// It signs and verifies.
    Active,
    /// Links it made still count; it makes none.
    VerifyOnly,
    /// Nothing it made counts any more.
    Retired,
}

/// The algorithm and the key itself. `Debug` shows neither.
enum Material {
    Hmac(hmac::Key),
    Ed25519 {
        pair: Option<Box<Ed25519KeyPair>>,
        public: Vec<u8>,
    },
    /// Of a retired key: nothing is done with it.
    None,
}

/// One key of the ring.
pub struct LinkKey {
    id: String,
    state: KeyState,
    material: Material,
    /// What subjects are hidden with; made from the secret, and never the secret itself.
    hiding: Option<[u8; 32]>,
}

impl fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkKey").field("id", &self.id).field("state", &self.state).finish_non_exhaustive()
    }
}

impl LinkKey {
    /// Its id, as links name it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What it may be used for.
    pub fn state(&self) -> KeyState {
        self.state
    }

    /// Its algorithm, by its JOSE name (RFC 7518, RFC 8037); none is `none`.
    pub(crate) fn algorithm(&self) -> &'static str {
        match &self.material {
            Material::Hmac(_) => "HS256",
            Material::Ed25519 { .. } => "EdDSA",
            Material::None => "none",
        }
    }

    /// Signs a message that lies in several parts; `None` for a key without its private half.
    pub(crate) fn sign(&self, parts: &[&[u8]]) -> Option<Vec<u8>> {
        match &self.material {
            Material::Hmac(key) => {
                let mut context = hmac::Context::with_key(key);
                parts.iter().for_each(|part| context.update(part));
                Some(context.sign().as_ref().to_vec())
            }
            Material::Ed25519 { pair, .. } => Some(pair.as_ref()?.sign(&parts.concat()).as_ref().to_vec()),
            Material::None => None,
        }
    }

    /// Whether this is the key's signature of the message. In constant time for HMAC; a public key has nothing to hide.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Hmac(key) => hmac::verify(key, message, signature).is_ok(),
            Material::Ed25519 { public, .. } => UnparsedPublicKey::new(&ED25519, public).verify(message, signature).is_ok(),
            Material::None => false,
        }
    }

    /// What subjects are hidden with. A key of which only the public half is here cannot hide or show any.
    pub(crate) fn hiding(&self) -> Option<&[u8; 32]> {
        self.hiding.as_ref()
    }
}

/// All keys of a deployment, in the order they are written. Empty when it has none.
#[derive(Debug, Default)]
pub struct Keyring(Vec<LinkKey>);

impl Keyring {
    /// Reads the value of `signed_url_keys`.
    ///
    /// # Errors
    /// What is wrong with it; never a part of a key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut members = Members::parse(text.as_bytes())?;
        match members.integer("v", 1..=1)? {
            Some(_) => {}
            None => return Err("the body has no `v`; this gate reads version 1".to_owned()),
        }
        let keys = members.objects("keys", limits::LINK_KEYS)?.ok_or("the body has no `keys`")?;
        members.end(&["v", "keys"])?;
        let keys = keys.into_iter().map(key).collect::<Result<Vec<_>, _>>()?;
        let mut ids: Vec<&str> = keys.iter().map(LinkKey::id).collect();
        ids.sort_unstable();
        if ids.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
            return Err("two keys have the same `id`".to_owned());
        }
        Ok(Self(keys))
    }

    /// The key new links are made with: the first that is active.
    pub fn signing(&self) -> Option<&LinkKey> {
        self.0.iter().find(|key| key.state == KeyState::Active)
    }

    /// The key with this id.
    pub fn get(&self, id: &str) -> Option<&LinkKey> {
        self.0.iter().find(|key| key.id == id)
    }

    /// Every key.
    pub fn keys(&self) -> impl Iterator<Item = &LinkKey> {
        self.0.iter()
    }
}

/// Whether this can be the id of a key: it stands in URLs as it is.
pub(super) fn is_key_id(text: &str) -> bool {
    (1..=limits::LINK_KEY_ID_BYTES).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

fn key(mut members: Members) -> Result<LinkKey, String> {
    let of = members.name().to_owned();
    let id = members.required("id", limits::LINK_KEY_ID_BYTES)?;
    if !is_key_id(&id) {
        return Err(format!("`id` of {of} has characters other than A-Z, a-z, 0-9, `-` and `_`"));
    }
    let state = match members.required("state", 16)?.as_str() {
        "active" => KeyState::Active,
        "verify-only" => KeyState::VerifyOnly,
        "retired" => KeyState::Retired,
        _ => return Err(format!("`state` of {of} is none of `active`, `verify-only`, `retired`")),
    };
    let algorithm = members.required("algorithm", 32)?;
    let (material, hiding) = match (algorithm.as_str(), state) {
        // What is left of a retired key may be there or not; it is not looked at.
        ("HMAC-SHA-256" | "Ed25519", KeyState::Retired) => {
            for member in ["secret", "private_key", "public_key"] {
                members.text(member, 256)?;
            }
            (Material::None, None)
        }
        ("HMAC-SHA-256", _) => {
            let secret = bytes(&mut members, "secret", &of)?.ok_or_else(|| format!("{of} has no `secret`"))?;
            if secret.len() < SECRET_BYTES {
                return Err(format!("`secret` of {of} has fewer than {SECRET_BYTES} bytes"));
            }
            (Material::Hmac(hmac::Key::new(hmac::HMAC_SHA256, &secret)), Some(derived(&secret)))
        }
        ("Ed25519", _) => ed25519(&mut members, state, &of)?,
        _ => return Err(format!("`algorithm` of {of} is neither `HMAC-SHA-256` nor `Ed25519`")),
    };
    members.end(&["id", "algorithm", "state", "secret", "private_key", "public_key"])?;
    Ok(LinkKey { id, state, material, hiding })
}

fn ed25519(members: &mut Members, state: KeyState, of: &str) -> Result<(Material, Option<[u8; 32]>), String> {
    let private = bytes(members, "private_key", of)?;
    let public = bytes(members, "public_key", of)?;
    match (private, public) {
        (Some(seed), public) => {
            let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| format!("`private_key` of {of} has not exactly 32 bytes"))?;
            let own = pair.public_key().as_ref().to_vec();
            if public.is_some_and(|public| public != own) {
                return Err(format!("`public_key` of {of} is not the one of its `private_key`"));
            }
            Ok((Material::Ed25519 { pair: Some(Box::new(pair)), public: own }, Some(derived(&seed))))
        }
        (None, Some(_)) if state == KeyState::Active => Err(format!("{of} has no `private_key`, and an active key signs")),
        (None, Some(public)) if public.len() == 32 => Ok((Material::Ed25519 { pair: None, public }, None)),
        (None, Some(_)) => Err(format!("`public_key` of {of} has not exactly 32 bytes")),
        (None, None) => Err(format!("{of} has neither `private_key` nor `public_key`")),
    }
}

/// base64url without padding (RFC 4648, section 5), in its one canonical spelling.
fn bytes(members: &mut Members, name: &str, of: &str) -> Result<Option<Vec<u8>>, String> {
    let Some(text) = members.text(name, 256)? else { return Ok(None) };
    URL_SAFE_NO_PAD.decode(text).map(Some).map_err(|_| format!("`{name}` of {of} is not base64url without padding"))
}

/// A key for another purpose than signing, made from the secret (the expand step of RFC 5869 with one block).
fn derived(secret: &[u8]) -> [u8; 32] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(hmac::sign(&key, b"cedargate-signed-url-v1 subject\x01").as_ref()) {
        *to = *from;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

    fn ring(keys: &str) -> Result<Keyring, String> {
        Keyring::parse(&format!(r#"{{"v":1,"keys":[{keys}]}}"#))
    }

    fn hmac_key(id: &str, state: &str) -> String {
        format!(r#"{{"id":"{id}","algorithm":"HMAC-SHA-256","state":"{state}","secret":"{SECRET}"}}"#)
    }

    #[test]
    fn the_first_active_key_signs_and_all_are_found() {
        let keys = [hmac_key("old", "verify-only"), hmac_key("now", "active"), hmac_key("next", "active")].join(",");
        let ring = ring(&keys).unwrap();
        assert_eq!(ring.signing().unwrap().id(), "now");
        assert_eq!(ring.get("old").unwrap().state(), KeyState::VerifyOnly);
        assert!(ring.get("none").is_none() && ring.keys().count() == 3);
        assert!(Keyring::default().signing().is_none());
    }

    #[test]
    fn a_key_verifies_what_it_signed_and_nothing_else() {
        let public = {
            let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
            URL_SAFE_NO_PAD.encode(pair.public_key())
        };
        let seed = URL_SAFE_NO_PAD.encode([7; 32]);
        let ed = format!(r#"{{"id":"ed","algorithm":"Ed25519","state":"active","private_key":"{seed}","public_key":"{public}"}}"#);
        let half = format!(r#"{{"id":"half","algorithm":"Ed25519","state":"verify-only","public_key":"{public}"}}"#);
        let ring = ring(&[hmac_key("h", "active"), ed, half].join(",")).unwrap();
        for id in ["h", "ed"] {
            let key = ring.get(id).unwrap();
            let signature = key.sign(&[b"mess", b"age"]).unwrap();
            assert!(key.verify(b"message", &signature) && !key.verify(b"massage", &signature) && !key.verify(b"message", b""));
        }
        let (whole, half) = (ring.get("ed").unwrap(), ring.get("half").unwrap());
        assert!(half.verify(b"m", &whole.sign(&[b"m"]).unwrap()) && half.sign(&[b"m"]).is_none() && half.hiding().is_none());
    }

    #[test]
    fn a_keyring_is_read_strictly_and_its_faults_show_no_secret() {
        let good = hmac_key("a", "active");
        assert!(ring(&good).is_ok());
        assert!(ring(r#"{"id":"a","algorithm":"Ed25519","state":"retired"}"#).is_ok());
        for (bad, says) in [
            (good.replace("\"a\"", "\"a b\""), "`id` of `keys[0]` has characters"),
            (good.replace("active", "on"), "`state` of `keys[0]` is none of"),
            (good.replace("HMAC-SHA-256", "HS256"), "`algorithm` of `keys[0]` is neither"),
            (good.replace(SECRET, "AAEC"), "fewer than 32 bytes"),
            (good.replace(SECRET, &format!("{SECRET}=")), "is not base64url"),
            (good.replace("secret", "sceret"), "has no `secret`"),
            (format!("{good},{good}"), "two keys have the same `id`"),
            (r#"{"id":"e","algorithm":"Ed25519","state":"active"}"#.to_owned(), "has neither"),
            (format!(r#"{{"id":"e","algorithm":"Ed25519","state":"active","public_key":"{SECRET}"}}"#), "an active key signs"),
            (r#"{"id":"e","algorithm":"Ed25519","state":"verify-only","public_key":"AAEC"}"#.to_owned(), "not exactly 32 bytes"),
            (
                format!(r#"{{"id":"e","algorithm":"Ed25519","state":"active","private_key":"{SECRET}","public_key":"{SECRET}"}}"#),
                "is not the one of",
            ),
            (String::new(), "is not an array of 1 to"),
        ] {
            let error = ring(&bad).unwrap_err();
            assert!(error.contains(says) && !error.contains(SECRET), "{bad}: {error}");
        }
        for bad in ["", "[]", r#"{"v":2,"keys":[]}"#, r#"{"keys":[]}"#, r#"{"v":1}"#] {
            assert!(Keyring::parse(bad).is_err(), "{bad}");
        }
        assert!(!format!("{:?}", ring(&good).unwrap()).contains(SECRET));
    }
}

//! Names of people in a link: as they are, as a keyed hash, or opaque, so that only the gate can read them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;

use super::keyring::LinkKey;
use crate::bundle::hex;
use crate::limits;

/// Bytes of a keyed hash that are kept: 128 bits, so that nobody finds two names with one hash.
const HASH_BYTES: usize = 16;

/// How links show names (`subject` in `keys/signed-urls.toml`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SubjectMode {
    /// Encrypted: policies and records see the name, whoever has the link does not.
    #[default]
    Opaque,
    /// A keyed hash: links of one name can be told to belong together, and nobody can read it, the gate included.
    Hash,
    /// As it is.
    Plain,
}

impl SubjectMode {
    /// The letter a value begins with.
    const fn letter(self) -> char {
        match self {
            Self::Opaque => 'o',
            Self::Hash => 'h',
            Self::Plain => 'p',
        }
    }
}

/// A name as it stands in a link, within the characters that need no encoding anywhere in a URL or a cookie.
///
/// `context` is everything of the link that comes before: the same name looks different in each link. `None` when the key
/// cannot hide anything.
pub(super) fn write(mode: SubjectMode, key: &LinkKey, context: &[u8], name: &str) -> Option<String> {
    let bytes = match mode {
        SubjectMode::Plain => name.as_bytes().to_vec(),
        SubjectMode::Hash => hashed(key.hiding()?, &[b"hash\n", name.as_bytes()], HASH_BYTES),
        SubjectMode::Opaque => {
            // A nonce made from everything that is encrypted and authenticated, as in RFC 5297: no randomness is needed, and
            // one nonce stands for one text.
            let nonce = hashed(key.hiding()?, &[b"nonce\n", context, b"\n", name.as_bytes()], NONCE_LEN);
            let mut sealed = name.as_bytes().to_vec();
            let cipher = cipher(key.hiding()?)?;
            cipher.seal_in_place_append_tag(Nonce::try_assume_unique_for_key(&nonce).ok()?, Aad::from(context), &mut sealed).ok()?;
            [nonce, sealed].concat()
        }
    };
    Some(format!("{}.{}", mode.letter(), URL_SAFE_NO_PAD.encode(bytes)))
}

/// A name out of a link whose signature verified; a hash stays what it is, `hash:` and hexadecimal digits.
///
/// # Errors
/// Why it cannot be read.
pub(super) fn read(key: &LinkKey, context: &[u8], text: &str) -> Result<String, &'static str> {
    let (letter, value) = text.split_once('.').ok_or("it has no kind")?;
    let bytes = URL_SAFE_NO_PAD.decode(value).map_err(|_| "it is not base64url")?;
    let name = match letter {
        "p" => bytes,
        "h" if bytes.len() == HASH_BYTES => {
            return Ok(format!("hash:{}", hex(&bytes)));
        }
        "o" => {
            let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN).ok_or("it is too short")?;
            let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| "it is too short")?;
            let cipher = key.hiding().and_then(cipher).ok_or("the key's private half is not here")?;
            let mut sealed = sealed.to_vec();
            cipher.open_in_place(nonce, Aad::from(context), &mut sealed).map_err(|_| "it does not decrypt")?.to_vec()
        }
        _ => return Err("its kind is not known"),
    };
    let name = String::from_utf8(name).map_err(|_| "it is not text")?;
    if name.is_empty() || name.len() > limits::LINK_NAME_BYTES { Err("it is empty or too long") } else { Ok(name) }
}

/// Whether a value has the form of one, before anything is verified.
pub(super) fn is_value(text: &str) -> bool {
    text.split_once('.').is_some_and(|(letter, value)| matches!(letter, "o" | "h" | "p") && URL_SAFE_NO_PAD.decode(value).is_ok())
}

fn hashed(key: &[u8; 32], parts: &[&[u8]], bytes: usize) -> Vec<u8> {
    let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    parts.iter().for_each(|part| mac.update(part));
    mac.sign().as_ref().iter().copied().take(bytes).collect()
}

fn cipher(key: &[u8; 32]) -> Option<LessSafeKey> {
    // Another key than the one that nonces are made with.
    let key = hashed(key, &[b"encryption\n"], 32);
    UnboundKey::new(&AES_256_GCM, &key).ok().map(LessSafeKey::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signed_url::Keyring;

    fn ring() -> Keyring {
        let key = |id: &str, byte: u8| {
            let secret = URL_SAFE_NO_PAD.encode([byte; 32]);
            format!(r#"{{"id":"{id}","algorithm":"HMAC-SHA-256","state":"active","secret":"{secret}"}}"#)
        };
        Keyring::parse(&format!(r#"{{"v":1,"keys":[{},{}]}}"#, key("a", 1), key("b", 2))).unwrap()
    }

    #[test]
    fn each_mode_reads_back_what_it_can() {
        let ring = ring();
        let (a, b) = (ring.get("a").unwrap(), ring.get("b").unwrap());
        let name = "Gate::User::\"dev/Zoë\"";
        let plain = write(SubjectMode::Plain, a, b"x", name).unwrap();
        assert_eq!(read(b, b"y", &plain).unwrap(), name);
        let hash = write(SubjectMode::Hash, a, b"x", name).unwrap();
        assert_eq!(hash, write(SubjectMode::Hash, a, b"y", name).unwrap());
        assert_ne!(hash, write(SubjectMode::Hash, b, b"x", name).unwrap());
        assert!(read(a, b"", &hash).unwrap().starts_with("hash:"));
        let opaque = write(SubjectMode::Opaque, a, b"x", name).unwrap();
        assert_eq!(read(a, b"x", &opaque).unwrap(), name);
        assert_ne!(opaque, write(SubjectMode::Opaque, a, b"y", name).unwrap());
        assert!(read(a, b"y", &opaque).is_err() && read(b, b"x", &opaque).is_err());
        assert!([&plain, &hash, &opaque].iter().all(|text| is_value(text) && !text.contains("dev")));
    }

    #[test]
    fn what_is_no_value_is_refused() {
        let ring = ring();
        let key = ring.get("a").unwrap();
        for bad in ["", "p", "p.", "x.AAAA", "h.AAAA", "o.AAAA", "p.AA==", "p.__8", "p.A"] {
            assert!(read(key, b"", bad).is_err(), "{bad}");
        }
    }
}

//! Nonces of the gate's own (RFC 9449, section 9): a time and a MAC over it. Every instance that has the secret knows every
//! nonce of the others, and none has to remember one.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use subtle::{Choice, ConstantTimeEq};

use super::DpopConfig;
use crate::decision::UnixTime;
use crate::identity::{Deployment, Secret};

/// The first byte of a nonce.
const VERSION: u8 = 1;
/// What is under the MAC before version and time, so that the secret never signs the same for another purpose.
const DOMAIN: &[u8] = b"cedargate dpop nonce\n";
/// Bytes of the MAC that are kept: 128 bits, which nobody guesses within a nonce's lifetime.
const MAC_BYTES: usize = 16;

/// The nonce a caller should use now (`DPoP-Nonce`); `None` when the configuration asks for none, or the deployment has no
/// secret to make one with.
pub fn nonce(config: &DpopConfig, deployment: &Deployment, now: UnixTime) -> Option<String> {
    config.nonce_lifetime?;
    let secret = deployment.nonce_secrets.first()?;
    let UnixTime(now) = now;
    let time = now.to_be_bytes();
    let mac = mac(secret, time);
    let kept = mac.as_ref().get(..MAC_BYTES)?;
    Some(URL_SAFE_NO_PAD.encode([&[VERSION][..], &time, kept].concat()))
}

/// Whether this is a nonce the gate gave, not longer ago than `lifetime`. `leeway` is for the clocks of other instances: they
/// may be ahead.
pub(super) fn is_good(given: &str, lifetime: i64, leeway: i64, secrets: &[Secret], now: UnixTime) -> bool {
    let UnixTime(now) = now;
    // Strict, so that a nonce has one spelling.
    let Ok(bytes) = URL_SAFE_NO_PAD.decode(given) else { return false };
    let Some((&[version], rest)) = bytes.split_first_chunk::<1>() else { return false };
    let Some((time, given)) = rest.split_first_chunk::<8>() else { return false };
    if version != VERSION || given.len() != MAC_BYTES {
        return false;
    }
    // SECURITY: in constant time, and over all secrets: how long it takes says nothing about a MAC or about which secret made it.
    let known = secrets.iter().fold(Choice::from(0), |known, secret| {
        let mac = mac(secret, *time);
        known | mac.as_ref().get(..MAC_BYTES).unwrap_or(&[]).ct_eq(given)
    });
    let made = i64::from_be_bytes(*time);
    bool::from(known) && made <= now.saturating_add(leeway) && now.saturating_sub(made) <= lifetime
}

fn mac(secret: &Secret, time: [u8; 8]) -> hmac::Tag {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.bytes());
    let mut context = hmac::Context::with_key(&key);
    context.update(DOMAIN);
    context.update(&[VERSION]);
    context.update(&time);
    context.sign()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{URL_SAFE_NO_PAD, is_good, nonce};
    use crate::decision::UnixTime;
    use crate::identity::{Deployment, DpopConfig, Secret};
    use base64::Engine;

    const NOW: i64 = 1_800_000_000;

    fn deployment(secrets: &[&str]) -> Deployment {
        Deployment { nonce_secrets: secrets.iter().map(|text| Secret::new(*text).unwrap()).collect(), ..Deployment::default() }
    }

    fn required() -> DpopConfig {
        DpopConfig { nonce_lifetime: Some(300), ..DpopConfig::default() }
    }

    fn good(given: &str, deployment: &Deployment, now: i64) -> bool {
        is_good(given, 300, 10, &deployment.nonce_secrets, UnixTime(now))
    }

    #[test]
    fn a_nonce_counts_for_its_lifetime_and_not_before() {
        let gate = deployment(&["a secret of some length"]);
        let made = nonce(&required(), &gate, UnixTime(NOW)).unwrap();
        assert_eq!(Some(&made), nonce(&required(), &gate, UnixTime(NOW)).as_ref(), "the same time gives the same nonce");
        assert_ne!(Some(&made), nonce(&required(), &gate, UnixTime(NOW + 1)).as_ref());
        assert!(made.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{made}");
        for (at, expected) in [(NOW, true), (NOW + 300, true), (NOW + 301, false), (NOW - 10, true), (NOW - 11, false), (i64::MAX, false)] {
            assert_eq!(good(&made, &gate, at), expected, "{at}");
        }
    }

    #[test]
    fn the_previous_secret_counts_and_makes_no_new_ones() {
        let (old, new) = ("the secret before this", "the secret after that");
        let made = nonce(&required(), &deployment(&[old]), UnixTime(NOW)).unwrap();
        assert!(good(&made, &deployment(&[new, old]), NOW));
        assert!(!good(&made, &deployment(&[new]), NOW));
        assert!(!good(&made, &deployment(&[]), NOW));
        let both = nonce(&required(), &deployment(&[new, old]), UnixTime(NOW)).unwrap();
        assert!(good(&both, &deployment(&[new]), NOW) && !good(&both, &deployment(&[old]), NOW));
    }

    #[test]
    fn without_the_wish_or_a_secret_there_is_none() {
        assert!(nonce(&required(), &deployment(&["a secret of some length"]), UnixTime(NOW)).is_some(), "the control");
        assert_eq!(nonce(&DpopConfig::default(), &deployment(&["a secret of some length"]), UnixTime(NOW)), None);
        assert_eq!(nonce(&required(), &deployment(&[]), UnixTime(NOW)), None);
    }

    #[test]
    fn a_nonce_with_any_bit_changed_is_not_ours() {
        let gate = deployment(&["a secret of some length"]);
        let made = nonce(&required(), &gate, UnixTime(NOW)).unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(&made).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!good(&URL_SAFE_NO_PAD.encode(changed), &gate, NOW), "bit {bit}");
        }
        for bad in [String::new(), made[1..].to_owned(), format!("{made}A"), format!("{made}="), URL_SAFE_NO_PAD.encode(&bytes[..24])] {
            assert!(!good(&bad, &gate, NOW), "{bad}");
        }
        assert!(good(&made, &gate, NOW), "the control");
    }

    proptest! {
        #[test]
        fn nothing_made_up_is_ours(text in prop_oneof![any::<String>(), "[A-Za-z0-9_-]{34}"]) {
            prop_assert!(!good(&text, &deployment(&["a secret of some length"]), NOW));
        }
    }
}

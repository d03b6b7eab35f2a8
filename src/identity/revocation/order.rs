//! What a caller asks for at `/.well-known/cedargate/revocations`: the body of the request, read strictly.

use super::{Entry, Target};
use crate::bundle::Digest;
use crate::decision::{Denial, Reason, UnixTime};
use crate::identity::Issuers;
use crate::identity::members::Members;
use crate::limits;

/// The members that name a target, of which a body has exactly one.
const TARGETS: [&str; 5] = ["token_id", "subject", "session", "certificate", "issuer"];
/// The others.
const OTHERS: [&str; 2] = ["expires_at", "reason"];
/// Longest serial number in hexadecimal digits: RFC 5280, section 4.1.2.2 has 20 bytes, and there are longer ones.
const SERIAL_DIGITS: usize = 128;

/// Something to revoke, or to take back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// What.
    pub target: Target,
    /// Only what was issued before.
    pub issued_before: Option<UnixTime>,
    /// When it expires by itself.
    pub until: Option<UnixTime>,
    /// Why.
    pub reason: Option<String>,
}

impl Order {
    /// Reads a body. `undo` is one that takes a revocation back, which says what and, if it likes, why.
    ///
    /// # Errors
    /// `gate.body_invalid` with what is wrong. It names members and repeats nothing else of the body, so it can be told to the
    /// caller.
    pub fn read(body: &[u8], issuers: &Issuers, undo: bool, now: UnixTime) -> Result<Self, Denial> {
        read(body, issuers, undo, now).map_err(|detail| Denial::new(Reason::GateBodyInvalid, detail))
    }

    /// The entry that carries it out.
    pub fn entry(self, at: UnixTime, by: String, decision_id: String) -> (Target, Entry) {
        let Self { target, issued_before, until, reason } = self;
        let kind = target.kind().to_owned();
        (target, Entry { kind, issued_before, until, at, by, decision_id, reason })
    }
}

fn read(body: &[u8], issuers: &Issuers, undo: bool, now: UnixTime) -> Result<Order, String> {
    let mut members = Members::parse(body)?;
    let given: Vec<&str> = TARGETS.into_iter().filter(|name| members.has(name)).collect();
    let [kind] = *given else {
        let which = if given.is_empty() { "none".to_owned() } else { quoted(&given) };
        return Err(format!("the body must have exactly one of {}, and has {which}", quoted(&TARGETS)));
    };
    let mut inner = members.object(kind)?;
    let (target, issued_before) = target(kind, &mut inner, issuers)?;
    inner.end(&[])?;
    let until = members.time("expires_at")?;
    let reason = members.text("reason", limits::REVOCATION_REASON_BYTES)?;
    let known: Vec<&str> = TARGETS.into_iter().chain(OTHERS).collect();
    members.end(&known)?;
    if undo && (issued_before.is_some() || until.is_some()) {
        return Err("`issued_before` and `expires_at` mean nothing where a revocation is taken back".to_owned());
    }
    let order = Order { target, issued_before, until, reason };
    let entry = order.clone().entry(now, String::new(), String::new()).1;
    if entry.is_over(now) {
        return Err("`expires_at` has passed: there is nothing left to revoke".to_owned());
    }
    Ok(order)
}

fn target(kind: &str, members: &mut Members, issuers: &Issuers) -> Result<(Target, Option<UnixTime>), String> {
    if kind == "certificate" {
        let digest = members.required("issuer_digest", 64)?;
        let issuer_digest = digest_of(&digest).ok_or("`certificate.issuer_digest` is not 64 hexadecimal digits")?;
        let serial = members.required("serial", SERIAL_DIGITS)?.to_ascii_lowercase();
        if !serial.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err("`certificate.serial` is not a number in hexadecimal digits".to_owned());
        }
        return Ok((Target::Certificate { issuer_digest, serial: serial_text(&serial) }, None));
    }
    let issuer = members.required("issuer", limits::ISSUER_VALUE_BYTES)?;
    let issuer =
        issuers.iss_of(&issuer).ok_or_else(|| format!("`{kind}.issuer` is neither the name nor the `iss` of a configured issuer"))?;
    let issuer = issuer.to_owned();
    let target = match kind {
        "token_id" => Target::TokenId { issuer, jti: members.required("jti", limits::SHORT_CLAIM_BYTES)? },
        "session" => Target::Session { issuer, sid: members.required("sid", limits::SHORT_CLAIM_BYTES)? },
        "subject" => Target::Subject { issuer, subject: members.required("sub", limits::SUBJECT_BYTES)? },
        _ => Target::Issuer { issuer },
    };
    let dated = matches!(target, Target::Subject { .. } | Target::Issuer { .. });
    let issued_before = if dated { members.time("issued_before")? } else { None };
    Ok((target, issued_before))
}

/// A serial number as certificates are revoked by it: hexadecimal digits without leading zeros, and `0` for zero, which RFC
/// 5280 forbids and some authorities issue all the same.
pub fn serial_text(digits: &str) -> String {
    match digits.trim_start_matches('0') {
        "" => "0".to_owned(),
        digits => digits.to_owned(),
    }
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn digest_of(hex: &str) -> Option<Digest> {
    let mut bytes = [0_u8; 32];
    let pairs = hex.as_bytes().chunks_exact(2);
    if hex.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        let [high, low] = *pair else { return None };
        let digit = |c: u8| char::from(c).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        *byte = digit(high)?.checked_mul(16)?.checked_add(digit(low)?)?;
    }
    Some(Digest::from_bytes(bytes))
}

//! Envoy's `x-forwarded-client-cert`: elements separated by `,`, each of `Key=value` pairs separated by `;`, values quoted
//! where they need it.
//!
//! SECURITY: an element is what one proxy says of its own peer, and each appends its own. Only the last is from the
//! terminator that proved itself; all before it may have been written by the client. A client that leaves a quote open in
//! its own element turns the terminator's inside out, and then the text after the terminator's first quote, which is a
//! certificate or a name, stands where only `;`, `,` or the end may: the whole field is refused.
//!
//! SECURITY: Envoy writes the names of `URI` and `DNS` as they stand in the client's certificate, without quotes, so one with a
//! comma looks like a further element. An element that tells names and is not the last must therefore hold the certificate
//! they are of, and no name in that may have a character that ends anything here.

use super::super::facts;
use super::escaped::{pem, percent_decoded};
use super::{Bag, assemble, malformed};
use crate::bundle::Digest;
use crate::decision::Denial;

/// One element, as far as it matters.
#[derive(Debug, Default)]
struct Element {
    hash: Option<String>,
    cert: Option<String>,
    chain: Option<String>,
    subject: Option<String>,
    /// Whether it tells alternative names.
    names: bool,
}

impl Element {
    fn add(&mut self, key: &str, value: String) -> Result<(), Denial> {
        // Envoy: keys without case. `By`, `URI` and `DNS` come once for each name; nothing is read from them.
        let key = key.to_ascii_lowercase();
        self.names |= matches!(key.as_str(), "uri" | "dns");
        let place = match key.as_str() {
            "hash" => &mut self.hash,
            "cert" => &mut self.cert,
            "chain" => &mut self.chain,
            "subject" => &mut self.subject,
            _ => return Ok(()),
        };
        match place.replace(value) {
            None => Ok(()),
            Some(_) => Err(malformed("a key occurs twice in the last element")),
        }
    }
}

impl Element {
    /// Whether it is certain that the comma after it was the terminator's, and not in a name of the client's certificate.
    fn ends_here(&self) -> bool {
        let plain = |text: &String| {
            let mut bag = Bag::default();
            let read = percent_decoded(text).and_then(|text| pem(&text, &mut bag));
            read.is_ok() && bag.certificates.first().is_some_and(|leaf| facts::has_plain_names(leaf))
        };
        // Both, where both are there: a name with a semicolon could have added one of them.
        let mut told = self.cert.iter().chain(&self.chain).peekable();
        !self.names || (told.peek().is_some() && told.all(plain))
    }
}

pub(super) fn read(text: &str) -> Result<Vec<Vec<u8>>, Denial> {
    let Element { hash, cert, chain, subject: _, names: _ } = last(text)?;
    let mut certificate = Bag::default();
    if let Some(cert) = &cert {
        pem(&percent_decoded(cert)?, &mut certificate)?;
    }
    let mut rest = Bag::default();
    if let Some(chain) = &chain {
        pem(&percent_decoded(chain)?, &mut rest)?;
    }
    let certificate = match (cert, rest.certificates.first()) {
        (Some(_), first) => {
            let one = certificate.only()?;
            // Envoy: the chain begins with the client's certificate.
            if first.is_some_and(|first| *first != one) {
                return Err(malformed("`Cert` and `Chain` begin with different certificates"));
            }
            one
        }
        (None, Some(first)) => first.clone(),
        // A digest or a name can be written by anyone who knows it.
        (None, None) => return Err(malformed("the last element has neither `Cert` nor `Chain`")),
    };
    if hash.is_some_and(|hash| hash.to_ascii_lowercase() != Digest::of(&certificate).to_string()) {
        return Err(malformed("`Hash` is of another certificate"));
    }
    assemble(certificate, rest)
}

/// The last element. All of them must be well-formed: where elements end is not certain otherwise.
fn last(text: &str) -> Result<Element, Denial> {
    let mut rest = text;
    let mut element = Element::default();
    loop {
        let (key, after) = rest.split_once('=').ok_or_else(|| malformed("a pair without `=`"))?;
        let key = key.trim_start_matches([' ', '\t']);
        if key.is_empty() || !key.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(malformed("a key that is not a word"));
        }
        let (value, after) = value(after)?;
        element.add(key, value)?;
        let mut following = after.chars();
        match following.next() {
            None => return Ok(element),
            Some(';') => {}
            Some(',') if !element.ends_here() => {
                return Err(malformed("an element that is not the last one tells `URI` or `DNS`, which may have ended it early"));
            }
            Some(',') => element = Element::default(),
            Some(_) => return Err(malformed("something after a quoted value")),
        }
        rest = following.as_str();
    }
}

/// A value and what follows it.
fn value(text: &str) -> Result<(String, &str), Denial> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',']).unwrap_or(text.len());
        let (value, rest) = text.split_at_checked(end).unwrap_or((text, ""));
        // Envoy quotes what has a `=`.
        if value.contains(['"', '=', '\\', ' ']) {
            return Err(malformed("a value that should be quoted"));
        }
        return Ok((value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.chars();
    loop {
        match characters.next() {
            Some('"') => return Ok((value, characters.as_str())),
            Some('\\') => value.push(characters.next().ok_or_else(|| malformed("a backslash at the end"))?),
            Some(other) => value.push(other),
            None => return Err(malformed("a quote that is not closed")),
        }
    }
}

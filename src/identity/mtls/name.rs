//! Distinguished names as text (RFC 4514), so that two names never become the same text.
//!
//! x509-parser writes names for people: in the order of the certificate and without escapes, so that a common name with a
//! comma looks like two attributes. A principal needs the standard's own form.

use std::fmt::Write;

use x509_parser::asn1_rs::{Any, Class, Tag, ToDer};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// The names of RFC 4514, section 3, and those of RFC 4519 and RFC 2985 that certificates have. All others are written with
/// their numbers.
const TYPES: &[(&str, &str)] = &[
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "sn"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.42", "givenName"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    (EMAIL, "emailAddress"),
];

/// `emailAddress` (PKCS #9).
const EMAIL: &str = "1.2.840.113549.1.9.1";

/// The text of a name: the most specific part first (section 2.1). `None` when a part cannot be encoded.
pub(super) fn render(name: &X509Name<'_>) -> Option<String> {
    let mut out = String::new();
    let parts: Vec<_> = name.iter_rdn().collect();
    for part in parts.into_iter().rev() {
        if !out.is_empty() {
            out.push(',');
        }
        for (index, attribute) in part.iter().enumerate() {
            if index > 0 {
                out.push('+');
            }
            write(attribute, &mut out)?;
        }
    }
    Some(out)
}

/// Whether a name holds an e-mail address.
pub(super) fn has_email(name: &X509Name<'_>) -> bool {
    name.iter_attributes().any(|attribute| attribute.attr_type().to_id_string() == EMAIL)
}

fn write(attribute: &AttributeTypeAndValue<'_>, out: &mut String) -> Option<()> {
    let number = attribute.attr_type().to_id_string();
    let name = TYPES.iter().find(|(oid, _)| *oid == number).map(|(_, name)| *name);
    out.push_str(name.unwrap_or(&number));
    out.push('=');
    match text(attribute.attr_value()).filter(|_| name.is_some()) {
        Some(text) => escape(text, out),
        // Section 2.4: a type written with its numbers, and a value that is not text, are given as their DER.
        None => {
            out.push('#');
            attribute.attr_value().to_der_vec().ok()?.iter().try_for_each(|byte| write!(out, "{byte:02x}")).ok()?;
        }
    }
    Some(())
}

/// The value of a string type that is a subset of Unicode. `T61String` and its like, which different readers read
/// differently, are none.
fn text<'a>(value: &Any<'a>) -> Option<&'a str> {
    let is_text = value.class() == Class::Universal
        && matches!(value.tag(), Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::NumericString);
    let text = std::str::from_utf8(value.data).ok().filter(|_| is_text)?;
    (value.tag() == Tag::Utf8String || text.is_ascii()).then_some(text)
}

/// Section 2.4, and beyond it everything that could disturb who reads the text: controls, and what is neither ASCII nor a
/// letter or digit.
fn escape(text: &str, out: &mut String) {
    let last = text.chars().count().saturating_sub(1);
    for (index, c) in text.chars().enumerate() {
        match c {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' | '=' => out.extend(['\\', c]),
            ' ' if index == 0 || index == last => out.push_str("\\ "),
            '#' if index == 0 => out.push_str("\\#"),
            _ if c.is_control() || !(c.is_ascii() || c.is_alphanumeric()) => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    // Writing to a string does not fail.
                    let _ = write!(out, "\\{byte:02x}");
                }
            }
            _ => out.push(c),
        }
    }
}

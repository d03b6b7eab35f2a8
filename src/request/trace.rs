//! W3C Trace Context (level 1). A trace is a convenience: one that is malformed is as good as absent, and never denies.

use crate::limits;

/// A valid `traceparent` (W3C Trace Context, level 1) and its `tracestate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// 32 lower-case hexadecimal digits.
    pub trace_id: String,
    /// 16 lower-case hexadecimal digits.
    pub parent_id: String,
    /// Trace flags: bit 0 is "sampled"; of a version this gate does not know, only that bit is kept.
    pub flags: u8,
    /// `tracestate`, when valid: every field's members in order, without empty ones, joined by `,`.
    pub state: Option<String>,
}

/// The trace context of a request: `parent` is the only `traceparent`, `headers` may hold any number of `tracestate`.
pub(super) fn context(parent: Option<&[u8]>, headers: &[(String, Vec<u8>)]) -> Option<TraceContext> {
    let (trace_id, parent_id, flags) = traceparent(std::str::from_utf8(parent?).ok()?)?;
    let fields = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("tracestate")).map(|(_, value)| value.as_slice());
    Some(TraceContext { trace_id: trace_id.to_owned(), parent_id: parent_id.to_owned(), flags, state: tracestate(fields) })
}

/// Section 3.2. Version `00` is exactly these four parts; a higher one may go on after a further dash.
fn traceparent(text: &str) -> Option<(&str, &str, u8)> {
    let mut parts = text.splitn(5, '-');
    let [version, trace_id, parent_id, flags] = [(); 4].map(|()| parts.next());
    let version = hex(version?, 2).filter(|version| *version != "ff")?;
    let trace_id = hex(trace_id?, 32).filter(|id| !zeros(id))?;
    let parent_id = hex(parent_id?, 16).filter(|id| !zeros(id))?;
    let flags = u8::from_str_radix(hex(flags?, 2)?, 16).ok()?;
    match (version, parts.next()) {
        ("00", None) => Some((trace_id, parent_id, flags)),
        ("00", Some(_)) => None,
        _ => Some((trace_id, parent_id, flags & 1)),
    }
}

fn hex(text: &str, length: usize) -> Option<&str> {
    let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (text.len() == length && digits).then_some(text)
}

fn zeros(id: &str) -> bool {
    id.bytes().all(|byte| byte == b'0')
}

/// Section 3.3. All fields are one list; a single bad member spoils it, for its order would no longer be true.
fn tracestate<'a>(fields: impl Iterator<Item = &'a [u8]>) -> Option<String> {
    let mut keys: Vec<&str> = Vec::new();
    let mut state = String::new();
    for field in fields {
        for member in std::str::from_utf8(field).ok()?.split(',') {
            let member = member.trim_matches([' ', '\t']);
            if member.is_empty() {
                continue;
            }
            let (key, value) = member.split_once('=')?;
            if !is_key(key) || !is_value(value) || keys.contains(&key) || keys.len() >= limits::TRACE_STATE_MEMBERS {
                return None;
            }
            keys.push(key);
            if !state.is_empty() {
                state.push(',');
            }
            state.push_str(member);
        }
    }
    (!state.is_empty()).then_some(state)
}

/// Section 3.3.1.3.1: `simple-key`, or `tenant@system`.
fn is_key(key: &str) -> bool {
    let rest = |text: &str| text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/'));
    let letter = |text: &str| text.starts_with(|c: char| c.is_ascii_lowercase());
    match key.split_once('@') {
        None => key.len() <= 256 && letter(key) && rest(key),
        Some((tenant, system)) => {
            let first = tenant.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
            tenant.len() <= 241 && first && rest(tenant) && system.len() <= 14 && letter(system) && rest(system)
        }
    }
}

/// Section 3.3.1.3.2: 1 to 256 printable characters without `,` and `=`. That the last is no space needs no check: spaces
/// at the end were trimmed as the list's own.
fn is_value(value: &str) -> bool {
    (1..=256).contains(&value.len()) && value.bytes().all(|b| matches!(b, b' '..=b'~') && b != b',' && b != b'=')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{context, traceparent, tracestate};

    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const PARENT: &str = "00f067aa0ba902b7";

    #[test]
    fn version_00_is_exactly_four_parts() {
        let good = format!("00-{ID}-{PARENT}-01");
        assert_eq!(good.len(), 55);
        assert_eq!(traceparent(&good), Some((ID, PARENT, 1)));
        assert_eq!(traceparent(&format!("00-{ID}-{PARENT}-00")), Some((ID, PARENT, 0)));
        assert_eq!(traceparent(&format!("00-{ID}-{PARENT}-ff")), Some((ID, PARENT, 255)));
        let zero = "0".repeat(32);
        for bad in [
            String::new(),
            format!("00-{ID}-{PARENT}"),
            format!("00-{ID}-{PARENT}-"),
            format!("00-{ID}-{PARENT}-1"),
            format!("00-{ID}-{PARENT}-001"),
            format!("00-{ID}-{PARENT}-01-"),
            format!("00-{ID}-{PARENT}-01-what"),
            format!("00-{ID}-{PARENT}-01 "),
            format!(" 00-{ID}-{PARENT}-01"),
            format!("00-{ID}-{PARENT}-0g"),
            format!("00-{ID}-{PARENT}-+1"),
            format!("00-{ID}-{PARENT}.01"),
            format!("00-{zero}-{PARENT}-01"),
            format!("00-{ID}-{}-01", &zero[..16]),
            format!("00-{}-{PARENT}-01", ID.to_uppercase()),
            format!("00-{ID}-{}-01", PARENT.to_uppercase()),
            format!("00-{ID}-{PARENT}-0A"),
            format!("00-{}-{PARENT}-01", &ID[1..]),
            format!("00-{ID}0-{PARENT}-01"),
            format!("00-{ID}-{}-01", &PARENT[1..]),
            format!("00-{ID}-{PARENT}0-01"),
            format!("0-{ID}-{PARENT}-01"),
            format!("000-{ID}-{PARENT}-01"),
            format!("0x-{ID}-{PARENT}-01"),
            format!("ff-{ID}-{PARENT}-01"),
            format!("FE-{ID}-{PARENT}-01"),
            format!("00-{ID}-{PARENT}-01,00-{ID}-{PARENT}-01"),
        ] {
            assert_eq!(traceparent(&bad), None, "{bad}");
        }
    }

    #[test]
    fn a_higher_version_is_read_as_far_as_it_is_known() {
        assert_eq!(traceparent(&format!("01-{ID}-{PARENT}-01")), Some((ID, PARENT, 1)));
        assert_eq!(traceparent(&format!("cc-{ID}-{PARENT}-ff-what-the-future-holds")), Some((ID, PARENT, 1)));
        assert_eq!(traceparent(&format!("cc-{ID}-{PARENT}-01.what")), None);
        assert_eq!(traceparent(&format!("cc-{ID}-{PARENT}-0")), None);
    }

    fn state(fields: &[&str]) -> Option<String> {
        tracestate(fields.iter().map(|field| field.as_bytes()))
    }

    #[test]
    fn tracestate_fields_are_one_list() {
        for (fields, expected) in [
            (&["rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"][..], "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
            (&["a=1", "b=2,c=3"], "a=1,b=2,c=3"),
            (&["a=1 \t , \t b=2", "", " ,,"], "a=1,b=2"),
            (&["a= x y"], "a= x y"),
            (&["0tenant@sys=1,a_-*/0=2"], "0tenant@sys=1,a_-*/0=2"),
        ] {
            assert_eq!(state(fields).as_deref(), Some(expected), "{fields:?}");
        }
    }

    #[test]
    fn a_malformed_tracestate_is_dropped_whole() {
        let long = "x".repeat(257);
        for bad in [
            "",
            ",",
            "a",
            "a=",
            "=1",
            "A=1",
            "0a=1",
            "a b=1",
            "a =1",
            "a=1=2",
            "a=1,a=2",
            "a=\u{e9}",
            "a=1\t2",
            "a=1,b",
            "@a=1",
            "t@=1",
            "t@0=1",
            "t@a@b=1",
            "T@a=1",
            "a=1;b=2,é=1",
            &format!("{long}=1"),
            &format!("a={long}"),
            &format!("{}@a=1", &long[..242]),
            &format!("a@{}=1", &long[..15]),
        ] {
            assert_eq!(state(&["ok=1", bad]).as_deref(), if bad.is_empty() || bad == "," { Some("ok=1") } else { None }, "{bad}");
            assert_eq!(state(&[bad]), None, "{bad}");
        }
        for good in [format!("{}=1", &long[..256]), format!("a={}", &long[..256]), format!("{}@{}=1", &long[..241], &long[..14])] {
            assert_eq!(state(&[&good]), Some(good));
        }
        assert_eq!(tracestate([&b"a=\xff"[..]].into_iter()), None);
    }

    #[test]
    fn a_tracestate_has_at_most_32_members() {
        let members: Vec<_> = (0..33).map(|n| format!("k{n}={n}")).collect();
        assert_eq!(state(&[&members[..32].join(",")]), Some(members[..32].join(",")));
        assert_eq!(state(&[&members[..20].join(","), &members[20..32].join(",")]), Some(members[..32].join(",")));
        assert_eq!(state(&[&members.join(",")]), None);
        assert_eq!(state(&[&members[..20].join(","), &members[20..].join(",")]), None);
    }

    #[test]
    fn a_tracestate_means_nothing_without_a_traceparent() {
        let headers = [("TraceState".to_owned(), b"a=1".to_vec())];
        let good = format!("00-{ID}-{PARENT}-01");
        assert_eq!(context(None, &headers), None);
        assert_eq!(context(Some(b"x"), &headers), None);
        assert_eq!(context(Some(b"\xff"), &headers), None);
        let found = context(Some(good.as_bytes()), &headers).unwrap();
        assert_eq!((found.trace_id.as_str(), found.parent_id.as_str(), found.flags, found.state.as_deref()), (ID, PARENT, 1, Some("a=1")));
        // A malformed state does not spoil the parent.
        let bad = [("tracestate".to_owned(), b"a".to_vec())];
        assert_eq!(context(Some(good.as_bytes()), &bad).unwrap().state, None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic_and_a_state_reads_back_as_itself(
            parent in any::<Vec<u8>>(),
            fields in prop::collection::vec(prop_oneof![any::<Vec<u8>>(), "[a-c@=, 0]{0,16}".prop_map(String::into_bytes)], 0..4),
        ) {
            let headers: Vec<_> = fields.iter().map(|value| ("tracestate".to_owned(), value.clone())).collect();
            let _ = context(Some(&parent), &headers);
            if let Some(once) = tracestate(fields.iter().map(Vec::as_slice)) {
                prop_assert_eq!(state(&[&once]), Some(once));
            }
        }
    }
}

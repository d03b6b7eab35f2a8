//! Identifiers of a decision and of its trace, made from bytes the shell drew.

use super::Timestamp;
use crate::bundle::hex;
use crate::request::TraceContext;

/// Random bytes for one request, drawn once by the shell.
#[derive(Debug, Clone, Copy)]
pub struct Entropy(pub [u8; 34]);

impl Entropy {
    fn part<const N: usize>(self, offset: usize) -> [u8; N] {
        let mut out = [0; N];
        for (to, from) in out.iter_mut().zip(self.0.iter().skip(offset)) {
            *to = *from;
        }
        out
    }
}

/// The id of one decision: a version 7 UUID (RFC 9562), so ids sort by time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionId(String);

impl DecisionId {
    /// The id for a request at `time`.
    pub fn new(time: Timestamp, entropy: Entropy) -> Self {
        let mut bytes = [0_u8; 16];
        let millis = time.unix_millis().to_be_bytes();
        let random: [u8; 10] = entropy.part(0);
        // 48 bits of milliseconds, then random bits; version and variant overwrite six of them.
        for (to, from) in bytes.iter_mut().zip(millis.iter().skip(2).chain(random.iter())) {
            *to = *from;
        }
        let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
        *version = (*version & 0x0F) | 0x70;
        *variant = (*variant & 0x3F) | 0x80;
        let mut text = hex(&bytes);
        for hyphen in [20, 16, 12, 8] {
            text.insert(hyphen, '-');
        }
        Self(text)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The trace this request belongs to and the gate's own span in it (W3C Trace Context).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceIds {
    trace_id: String,
    span_id: String,
    flags: u8,
    state: Option<String>,
}

impl TraceIds {
    /// Continues the caller's trace, or starts one. A started trace is not sampled: whether to is not the gate's choice.
    pub fn new(incoming: Option<&TraceContext>, entropy: Entropy) -> Self {
        let span_id = hex(&entropy.part::<8>(26));
        match incoming {
            Some(context) => Self { trace_id: context.trace_id.clone(), span_id, flags: context.flags, state: context.state.clone() },
            None => Self { trace_id: hex(&entropy.part::<16>(10)), span_id, flags: 0, state: None },
        }
    }

    /// The trace id, 32 hexadecimal digits.
    pub fn trace_id(&self) -> &str {
        &self.trace_id
    }

    /// The id of the gate's own span, 16 hexadecimal digits.
    pub fn span_id(&self) -> &str {
        &self.span_id
    }

    /// The `traceparent` to send on.
    pub fn traceparent(&self) -> String {
        format!("00-{}-{}-{:02x}", self.trace_id, self.span_id, self.flags)
    }

    /// The `tracestate` to send on, unchanged.
    pub fn tracestate(&self) -> Option<&str> {
        self.state.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::{DecisionId, Entropy, TraceIds};
    use crate::audit::Timestamp;
    use crate::decision::UnixTime;
    use crate::request::TraceContext;

    #[test]
    fn a_decision_id_is_the_uuid_v7_of_the_rfc() {
        // RFC 9562, appendix A.6: 017F22E2-79B0-7CC3-98C4-DC0C0C07398F at 2022-02-22T19:22:22.000Z.
        let mut entropy = [0; 34];
        entropy[..10].copy_from_slice(&[0x0C, 0xC3, 0x18, 0xC4, 0xDC, 0x0C, 0x0C, 0x07, 0x39, 0x8F]);
        let id = DecisionId::new(Timestamp { seconds: UnixTime(1_645_557_742), millis: 0 }, Entropy(entropy));
        assert_eq!(id.as_str(), "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
    }

    #[test]
    fn a_trace_is_continued_or_started() {
        let context = TraceContext {
            trace_id: "0af7651916cd43dd8448eb211c80319c".into(),
            parent_id: "b7ad6b7169203331".into(),
            flags: 1,
            state: None,
        };
        let entropy = Entropy([0xAB; 34]);
        assert_eq!(TraceIds::new(Some(&context), entropy).traceparent(), "00-0af7651916cd43dd8448eb211c80319c-abababababababab-01");
        assert_eq!(TraceIds::new(None, entropy).traceparent(), format!("00-{}-abababababababab-00", "ab".repeat(16)));
    }
}

//! W3C trace context.

/// A valid `traceparent` (W3C Trace Context, level 1) and its `tracestate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// 32 lower-case hexadecimal digits.
    pub trace_id: String,
    /// 16 lower-case hexadecimal digits.
    pub parent_id: String,
    /// Trace flags.
    pub flags: u8,
    /// `tracestate`, raw, when valid.
    pub state: Option<String>,
}

//! The path: raw for forwarding, decoded for the decision.

/// A canonical path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    raw: String,
    segments: Vec<String>,
}

impl Path {
    /// The path exactly as received.
    pub fn raw(&self) -> &str {
        &self.raw
    }

    /// The decoded segments; none for `/`.
    pub fn segments(&self) -> &[String] {
        &self.segments
    }

    /// The decoded path, for example `/api/orders/42`.
    pub fn decoded(&self) -> String {
        format!("/{}", self.segments.join("/"))
    }
}

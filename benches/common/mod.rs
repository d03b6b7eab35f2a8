//! What both benches do alike.

use std::path::PathBuf;

use crate::support::gate::root;

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// From the least to the most, with so many digits.
pub fn range(values: &[f64], digits: usize) -> String {
    let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(*value), high.max(*value)));
    format!("{low:.digits$}–{high:.digits$}")
}

/// A component that is there to be measured with, as `make bench` builds and names it.
pub fn component(name: &str) -> PathBuf {
    let built = || root().join(format!("target/{name}/wasm32-wasip2/release/{name}.wasm"));
    std::env::var_os(format!("CEDARGATE_{}", name.to_uppercase())).map_or_else(built, PathBuf::from)
}

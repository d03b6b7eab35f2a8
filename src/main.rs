//! The `cedargate` command's entry: no logic here.
fn main() {}

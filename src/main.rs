//! The `cedargate` command's entry: no logic here.

use std::process::ExitCode;

fn main() -> ExitCode {
    cedargate::cli::main()
}

//! `cedargate seal`: policies and keys into a base component.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, ValueEnum};
use miette::{Context, IntoDiagnostic};
use serde_json::json;

use super::progress::Progress;
use super::{Exit, files};
use crate::host::{self, SealError};

/// Where the base component is built.
pub(super) const BASE: &str = "target/wasm32-wasip2/release/cedargate.wasm";
/// Where the sealed component goes, and where `spin.toml` finds it.
const OUTPUT: &str = "target/sealed/cedargate.wasm";

/// Seal policies and keys into a component.
#[derive(Debug, Args)]
pub struct SealArgs {
    /// The folder of the policies.
    #[arg(long, value_name = "DIR", default_value = "policies")]
    policies: PathBuf,
    /// The folder of the key sets and of whom they are trusted for.
    #[arg(long, value_name = "DIR", default_value = "keys")]
    keys: PathBuf,
    /// Trust the development key in `keys/dev/` too. Never for production.
    #[arg(long)]
    dev: bool,
    /// The base component.
    #[arg(long, value_name = "FILE", env = "CEDARGATE_BASE", default_value = BASE)]
    base: PathBuf,
    /// Where the sealed component goes.
    #[arg(short, long, value_name = "FILE", default_value = OUTPUT)]
    output: PathBuf,
    /// How the result is written.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

/// How the result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For reading.
    Human,
    /// One JSON object.
    Json,
}

/// Seals.
///
/// # Errors
/// When a file cannot be read or written, or the base component is unfit.
pub fn run(args: SealArgs) -> miette::Result<Exit> {
    let SealArgs { policies, keys, dev, base, output, format } = args;
    let started = Instant::now();
    let progress = Progress::new(format == Format::Json);
    progress.step("reading policies and keys");
    let bundle = files::read_bundle(&policies, &keys, dev)?;
    let base = read_base(&base)?;
    progress.step("sealing");
    let sealed = match host::seal(&base, &bundle) {
        Ok(sealed) => sealed,
        Err(error) => return refused(error),
    };
    write_whole(&output, &sealed.component)?;
    drop(progress);
    let elapsed = started.elapsed();
    let size = sealed.component.len();
    match format {
        Format::Json => {
            let result = json!({
                "file": output.display().to_string(),
                "policy_digest": sealed.policy_digest.to_string(),
                "schema_digest": sealed.schema_digest.to_string(),
                "policies": sealed.policies,
                "bytes": size,
                "milliseconds": u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            });
            anstream::println!("{result}");
        }
        Format::Human => {
            anstream::println!("sealed         {}", output.display());
            anstream::println!("policy digest  {}", sealed.policy_digest);
            anstream::println!("schema digest  {}", sealed.schema_digest);
            anstream::println!("policies       {}", sealed.policies);
            anstream::println!("size           {}", megabytes(size));
            anstream::println!("time           {:.1} s", elapsed.as_secs_f64());
        }
    }
    Ok(Exit::Ok)
}

/// Problems of policies and keys are an answer with an exit code of its own; everything else is a failure.
pub(super) fn refused(error: SealError) -> miette::Result<Exit> {
    match error {
        SealError::Bundle(report) => {
            anstream::eprint!("{report}");
            Ok(Exit::Invalid)
        }
        other => Err(miette::miette!("{other}")),
    }
}

pub(super) fn read_base(path: &Path) -> miette::Result<Vec<u8>> {
    fs::read(path).into_diagnostic().wrap_err_with(|| {
        format!("the base component `{}` cannot be read: build it with `make component`, or name another with --base", path.display())
    })
}

/// Writes a file so that nobody ever sees half of it.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> miette::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.join(format!(".{name}.{}", std::process::id()));
    let write = || {
        fs::create_dir_all(folder)?;
        let mut file = fs::File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    let written = write();
    if written.is_err() {
        // Nothing to say beyond the first error.
        drop(fs::remove_file(&temporary));
    }
    written.into_diagnostic().wrap_err_with(|| format!("`{}` cannot be written", path.display()))
}

/// A size with two digits after the point.
fn megabytes(bytes: usize) -> String {
    let hundredths = bytes.saturating_mul(100).checked_div(1024 * 1024).unwrap_or_default();
    format!("{}.{:02} MiB", hundredths.checked_div(100).unwrap_or_default(), hundredths.checked_rem(100).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/file");
        write_whole(&path, b"one").unwrap();
        write_whole(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_written_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        // A folder cannot be replaced by a file.
        let path = folder.path().join("taken");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("x"), "").unwrap();
        assert!(write_whole(&path, b"one").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn sizes_are_rounded_down() {
        assert_eq!(megabytes(0), "0.00 MiB");
        assert_eq!(megabytes(1024 * 1024 * 5 + 1024 * 512), "5.50 MiB");
    }
}

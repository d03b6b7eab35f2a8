//! `cedargate seal`: policies and keys into a base component.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use miette::{Context, IntoDiagnostic, Report, miette};
use serde_json::json;

use super::check::insecure;
use super::diagnostic::Invalid;
use super::files::{self, Folders};
use super::output::{self, Format};
use super::progress::Progress;
use super::{Exit, archive, exit};
use crate::bundle::Bundle;
use crate::host::{self, SealError, Sealed};

/// Where the base component is built.
pub(super) const BASE: &str = "target/wasm32-wasip2/release/cedargate.wasm";

const EXAMPLES: &str = r"
cedargate seal
    policies/ and keys/ into target/sealed/cedargate.wasm, which spin.toml names
cedargate seal --base cedargate-0.1.0.wasm -o gate.wasm
    with a base component that was built elsewhere: no Rust toolchain is needed
cedargate seal --format json
    for a pipeline that notes the policy digest";

/// Compile policies and keys into the component
///
/// Loads both folders strictly, as `check` does, runs the base component's own loader on them in a closed room, and writes down
/// the memory it leaves. The same input gives the same bytes.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::help(EXAMPLES, &[Exit::Ok, Exit::Failed, Exit::Invalid]))]
pub struct SealArgs {
    #[command(flatten)]
    folders: Folders,
    /// The base component
    #[arg(long, value_name = "FILE", env = "CEDARGATE_BASE", default_value = BASE)]
    base: PathBuf,
    /// Where the sealed component goes
    #[arg(short, long, value_name = "FILE", default_value = archive::IN_PLACE)]
    output: PathBuf,
    /// Where policies and keys are kept by their digest, so that old records can be explained
    #[arg(long, value_name = "DIR", default_value = archive::ARCHIVE)]
    archive: PathBuf,
    /// How the result is written: `json` is an object of {file, policy_digest, schema_digest, policies, bytes, milliseconds}
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, value_name = "human|json")]
    format: Format,
}

/// Runs `cedargate seal`.
///
/// # Errors
/// When a file cannot be read or written, or the base component is unfit; [`Invalid`] when policies or keys are not valid.
pub fn run(args: SealArgs) -> miette::Result<Exit> {
    let SealArgs { folders: Folders { policies, keys, dev }, base, output, archive, format } = args;
    let started = Instant::now();
    let progress = Progress::new(format == Format::Json);
    progress.step("reading policies and keys");
    let (bundle, gate) = files::load(&policies, &keys, dev)?;
    let warnings = insecure(&gate);
    // The component loads them again, and tells what it found.
    drop(gate);
    let base = read_base(&base)?;
    progress.step("sealing");
    let sealed = match host::seal(&base, &bundle) {
        Ok(sealed) => sealed,
        Err(error) => return Err(refused(error, &policies, &keys, bundle)),
    };
    write_whole(&output, &sealed.component)?;
    let kept = archive::keep(&archive, &bundle);
    drop(progress);
    output::stderr(&warnings);
    archive::tell(&kept);
    let elapsed = started.elapsed();
    let Sealed { component, policy_digest, schema_digest, policies } = sealed;
    let text = match format {
        Format::Json => output::json(&json!({
            "file": output.display().to_string(),
            "policy_digest": policy_digest.to_string(),
            "schema_digest": schema_digest.to_string(),
            "policies": policies,
            "bytes": component.len(),
            "milliseconds": u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        }))?,
        Format::Human => format!(
            "sealed         {}\npolicy digest  {policy_digest}\nschema digest  {schema_digest}\npolicies       {policies}\nsize           {}\n\
             time           {:.1} s\n",
            output.display(),
            megabytes(component.len()),
            elapsed.as_secs_f64()
        ),
    };
    output::stdout(&text)?;
    Ok(Exit::Ok)
}

/// Problems of policies and keys are shown as `check` shows them; everything else is a failure.
pub(super) fn refused(error: SealError, policies: &Path, keys: &Path, bundle: Bundle) -> Report {
    match error {
        SealError::Bundle(report) => Invalid::new(policies, keys, bundle, report).into(),
        error @ (SealError::Invalid(_) | SealError::Mismatch { .. }) => {
            miette!(help = "build the base component and this command from the same source", "{error}")
        }
        error => miette!("{error}"),
    }
}

pub(super) fn read_base(path: &Path) -> miette::Result<Vec<u8>> {
    fs::read(path).map_err(|error| {
        miette!(
            help = "build it with `make component`, or name another with --base FILE",
            "the base component `{}` cannot be read: {error}",
            path.display()
        )
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
        fs::rename(&temporary, path)?;
        sync_folder(folder)
    };
    let written = write();
    if written.is_err() {
        // Nothing to say beyond the first error.
        drop(fs::remove_file(&temporary));
    }
    written.into_diagnostic().wrap_err_with(|| format!("`{}` cannot be written", path.display()))
}

/// Makes what was renamed in a folder outlast a loss of power.
pub(super) fn sync_folder(folder: &Path) -> std::io::Result<()> {
    // Elsewhere a folder cannot be opened, and need not be.
    if cfg!(unix) { fs::File::open(folder)?.sync_all() } else { Ok(()) }
}

/// A size with two digits after the point.
pub(super) fn megabytes(bytes: usize) -> String {
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

//! `cedargate check`: load policies and keys as the gate would, and say everything that is wrong.

use std::collections::BTreeMap;
use std::path::Path;

use super::diagnostic::{Invalid, count};
use super::files::{self, Folders};
use super::output::{self, Format};
use super::{Exit, exit, lints};
use crate::audit::sink::Target;
use crate::bundle::Gate;
use crate::decision::Mode;
use crate::host::Manifest;
use crate::host::allowed::AllowedHosts;

/// Where a project has its manifest.
const MANIFEST: &str = "spin.toml";

const EXAMPLES: &str = r"
cedargate check
    the project's own policies/ and keys/
cedargate check --dev
    with the development keys that `cedargate token` makes
cedargate check --deny-lints
    in CI: warnings fail it too
cedargate check --policies ../team/policies --format json
    for an editor or a CI annotation";

/// Say everything that is wrong with policies and keys
///
/// Loads both folders exactly as sealing does, and reports all problems at once. What passes here can be sealed. Policies that are
/// valid and perhaps not what was meant are warned about, each with the id of a lint; `policies/lints.toml` allows one for a reason.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::help(EXAMPLES, &[Exit::Ok, Exit::Failed, Exit::Invalid]))]
pub struct CheckArgs {
    #[command(flatten)]
    folders: Folders,
    /// How problems are written: `json` is an array of {file, line, column, end_line, end_column, severity, code, message, help}
    ///
    /// With `json` the array is written to standard output, empty when there is nothing to say. `severity` is `error` or `warning`. Lines and columns count from 1, columns
    /// in characters; the end is the place after the last character. A problem of a whole file has null for all four.
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, value_name = "human|json")]
    format: Format,
    /// Exit with 3 when there are warnings, too
    #[arg(long)]
    deny_lints: bool,
}

/// Which addresses of issuers a component may not reach, a line each with what to add; empty when there is none.
pub(super) fn unreachable(gate: &Gate, allowed: &AllowedHosts, manifest: &str) -> String {
    let keys = gate.issuers().remotes().map(|remote| ("keys", remote.issuer(), remote.url()));
    let lists = gate.issuers().status_lists().map(|(issuer, url)| ("status lists", issuer, url));
    let barred = keys.chain(lists).filter(|(.., url)| !url.to_string().parse().is_ok_and(|uri| allowed.allows(&uri)));
    barred
        .map(|(what, issuer, url)| {
            let origin = url.origin();
            format!(
                "warning: the {what} of issuer `{issuer}` cannot be fetched: add \"{origin}\" to allowed_outbound_hosts in {manifest}\n"
            )
        })
        .collect()
}

/// The same for the sink of records that the variables name; empty where there is none, or they are unusable, which every answer tells.
pub(super) fn unreachable_sink(variables: &BTreeMap<String, String>, allowed: &AllowedHosts, manifest: &str) -> String {
    let value = |name: &str| variables.get(name).map_or("", String::as_str);
    let sink = Target::parse(value("audit_sink"), value("audit_sink_url"), value("audit_sink_token"), value("audit_sink_region"));
    match sink.ok().flatten() {
        Some(sink) if !sink.url().to_string().parse().is_ok_and(|uri| allowed.allows(&uri)) => {
            let origin = sink.url().origin();
            format!("warning: no record can be sent to the sink: add \"{origin}\" to allowed_outbound_hosts in {manifest}\n")
        }
        _ => String::new(),
    }
}

/// That the gate only observes, where the variables say so; empty where it enforces, or the mode is none, which every answer tells.
pub(super) fn observes(variables: &BTreeMap<String, String>) -> String {
    let mode = Mode::parse(variables.get("mode").map_or("", String::as_str)).ok();
    mode.and_then(Mode::insecure).map(|what| format!("warning: {what}\n")).unwrap_or_default()
}

/// Which checks are switched off, a line each; empty when there is none.
pub(super) fn insecure(gate: &Gate) -> String {
    gate.insecure().into_iter().map(|what| format!("warning: {what}\n")).collect()
}

/// Runs `cedargate check`.
///
/// # Errors
/// When a folder cannot be read; [`Invalid`] when what it holds is not valid.
pub fn run(args: &CheckArgs) -> miette::Result<Exit> {
    let dev = &args.folders.dev;
    match (load(args), args.format) {
        (Ok((_, warnings)), Format::Json) => {
            output::stdout(&output::json(&warnings.json())?)?;
            Ok(Exit::Ok)
        }
        (Ok((gate, warnings)), Format::Human) => {
            warnings.tell();
            let issuers = gate.issuers().len();
            if issuers == 0 {
                output::stderr("note: no issuer is configured in keys/issuers.toml: no token is accepted, every caller is anonymous\n");
            }
            // The manifest beside them, where there is one: what it lacks shows only when the first token arrives.
            if let Ok(manifest) = Manifest::read(Path::new(MANIFEST)) {
                output::stderr(&unreachable(&gate, &manifest.allowed(|name| std::env::var(name).ok()), MANIFEST));
            }
            output::stderr(&insecure(&gate));
            output::stdout(&format!(
                "ok: {}{}, {}{}, policy digest {}\n",
                count(gate.policy().len(), "policy"),
                gate.shadow().map(|shadow| format!(" and {} on trial", shadow.len())).unwrap_or_default(),
                count(issuers, "issuer"),
                if *dev { " (with development keys)" } else { "" },
                gate.policy_digest()
            ))?;
            Ok(Exit::Ok)
        }
        (Err(error), Format::Json) => {
            let Some(invalid) = error.downcast_ref::<Invalid>() else { return Err(error) };
            output::stdout(&output::json(&invalid.json())?)?;
            Ok(Exit::Invalid)
        }
        (Err(error), Format::Human) => Err(error),
    }
}

/// The gate, and what its authors should look at.
fn load(args: &CheckArgs) -> miette::Result<(Gate, Invalid)> {
    let Folders { policies, keys, dev } = &args.folders;
    let (bundle, gate) = files::load(policies, keys, *dev)?;
    let (bundle, report) = lints::find(&args.folders, bundle)?;
    let denied = args.deny_lints && !report.is_empty();
    let found = Invalid::new(policies, keys, bundle, report);
    if denied { Err(found.into()) } else { Ok((gate, found.warnings())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::Bundle;
    use crate::host::allowed::AllowedHost;

    #[test]
    fn a_host_that_the_manifest_does_not_allow_is_named() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut bundle: Bundle = files::read_bundle(&root.join("policies"), &root.join("keys"), false).unwrap();
        let issuer = "[[issuer]]\nname = \"corp\"\niss = \"https://id.example.com/\"\naudience = \"x\"\n";
        let sources = "jwks_uri = \"https://keys.example.net:8443/jwks\"\nstatus_lists = \"https://id.example.com/status/\"\n";
        bundle.insert("keys/issuers.toml", format!("version = 1\n{issuer}{sources}"));
        let gate = Gate::load(&bundle).unwrap();
        let allowed = |host: &str| [AllowedHost::parse(host).unwrap()].into_iter().collect::<AllowedHosts>();
        assert_eq!(
            unreachable(&gate, &allowed("https://id.example.com"), "spin.toml"),
            "warning: the keys of issuer `corp` cannot be fetched: add \"https://keys.example.net:8443\" to allowed_outbound_hosts in spin.toml\n"
        );
        assert_eq!(
            unreachable(&gate, &allowed("https://keys.example.net:8443"), "spin.toml"),
            "warning: the status lists of issuer `corp` cannot be fetched: add \"https://id.example.com\" to allowed_outbound_hosts in spin.toml\n"
        );
        assert_eq!(unreachable(&gate, &allowed("https://*:*"), "spin.toml"), "");
        let variables = |url: &str| [("audit_sink", "otlp"), ("audit_sink_url", url)].map(|(a, b)| (a.to_owned(), b.to_owned())).into();
        assert_eq!(
            unreachable_sink(&variables("https://otel.example.com:4318/x"), &allowed("https://otel.example.com"), "spin.toml"),
            "warning: no record can be sent to the sink: add \"https://otel.example.com:4318\" to allowed_outbound_hosts in spin.toml\n"
        );
        for url in ["https://otel.example.com", "http://otel.example.com", ""] {
            assert_eq!(unreachable_sink(&variables(url), &allowed("https://otel.example.com"), "spin.toml"), "", "{url}");
        }
    }
}

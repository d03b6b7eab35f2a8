//! `cedargate archive show`: one of them, whole.

use std::path::PathBuf;

use miette::miette;
use serde_json::{Value, json};

use super::super::audit::one_line;
use super::super::output::{self, Format};
use super::super::seal::megabytes;
use super::super::{Exit, exit, time};
use super::{ARCHIVE, IN_PLACE, Release, Shelf, in_place, policies, sources};
use crate::bundle::{Bundle, Digest};

const EXAMPLES: &str = r"
cedargate archive show v1.4
    the release with this tag: its digests, files and policies
cedargate archive show 8f9bbed9765f
    by digits of its policy digest or of the component's SHA-256
cedargate archive show v1.4 --format json
    the policies with all their annotations";

/// Show one release, or what was sealed with one policy digest
///
/// Everything shown was held against its digest: the component against its SHA-256 and what it says of itself, the sources against the
/// policy digest. Something altered is not shown, and ends with exit code 5.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::help(EXAMPLES, &[Exit::Ok, Exit::Failed, Exit::VerificationFailed]))]
pub struct ShowArgs {
    /// A tag, or at least four digits of a policy digest or of a component's SHA-256
    #[arg(value_name = "DIGEST|TAG")]
    name: String,
    /// The archive
    #[arg(long, value_name = "DIR", default_value = ARCHIVE)]
    archive: PathBuf,
    /// The file that is served
    #[arg(long, value_name = "FILE", default_value = IN_PLACE)]
    in_place: PathBuf,
    /// How it is written: `json` is an object of {policy_digest, releases, files, policies}
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, value_name = "human|json")]
    format: Format,
}

/// Runs `cedargate archive show`.
///
/// # Errors
/// When nothing has this name; [`Altered`](super::super::diagnostic::Altered) when it is not what it was.
pub fn run(args: &ShowArgs) -> miette::Result<Exit> {
    let ShowArgs { name, archive, in_place: file, format } = args;
    let shelf = Shelf::open(archive)?;
    let digest = shelf.policies(name)?;
    let releases: Vec<Release> = shelf.releases_of(digest).map(|one| shelf.read(one).map(|(one, _)| one)).collect::<Result<_, _>>()?;
    let bundle = if shelf.sources.contains(&digest) { Some(sources::find(archive, &digest.to_string())?) } else { None };
    let served = in_place(file)?;
    output::stdout(&match format {
        Format::Human => human(&shelf, digest, &releases, bundle.as_ref(), served),
        Format::Json => output::json(&told(&shelf, digest, &releases, bundle.as_ref(), served)?)?,
    })?;
    Ok(Exit::Ok)
}

fn told(shelf: &Shelf, digest: Digest, releases: &[Release], bundle: Option<&Bundle>, served: Option<Digest>) -> miette::Result<Value> {
    let tags = shelf.journal.tags();
    let release = |release: &Release| {
        let Release { component, policy_digest: _, schema_digest, base_digest, policies, bytes, time, command } = release;
        json!({
            "component_digest": component.to_string(), "schema_digest": schema_digest.to_string(), "base_digest": base_digest.to_string(),
            "policies": policies, "bytes": bytes, "time": time::show(*time), "command": command,
            "tags": tags.get(component).cloned().unwrap_or_default(), "note": shelf.journal.note(*component),
            "in_place": served == Some(*component),
        })
    };
    let files = bundle.map(|bundle| {
        let file = |(path, bytes): (&str, &[u8])| json!({ "path": path, "bytes": bytes.len(), "sha256": Digest::of(bytes).to_string() });
        bundle.iter().map(file).collect::<Vec<_>>()
    });
    let policies = match bundle.map(policies::of) {
        None => None,
        Some(Ok(policies)) => Some(policies.iter().map(policies::json).collect::<Vec<_>>()),
        Some(Err(why)) => return Err(miette!(help = "an older version of this command may read them", "{why}")),
    };
    Ok(json!({
        "policy_digest": digest.to_string(), "releases": releases.iter().map(release).collect::<Vec<_>>(), "files": files, "policies": policies,
    }))
}

fn human(shelf: &Shelf, digest: Digest, releases: &[Release], bundle: Option<&Bundle>, served: Option<Digest>) -> String {
    let mut text = format!("policy digest  {digest}\n");
    let tags = shelf.journal.tags();
    for release in releases {
        let Release { component, policy_digest: _, schema_digest, base_digest, policies, bytes, time, command } = release;
        text.push_str(&format!(
            "\nrelease        {component}{}\nreleased       {} by cedargate {}\n",
            if served == Some(*component) { "  (in place)" } else { "" },
            time::show(*time),
            one_line(command)
        ));
        if let Some(tags) = tags.get(component) {
            text.push_str(&format!("tags           {}\n", one_line(&tags.join(", "))));
        }
        if let Some(note) = shelf.journal.note(*component) {
            text.push_str(&format!("note           {}\n", one_line(note)));
        }
        text.push_str(&format!(
            "schema digest  {schema_digest}\nbase build     {base_digest}\npolicies       {policies}\nsize           {}\n",
            megabytes(*bytes)
        ));
    }
    if releases.is_empty() {
        text.push_str("release        none: it was only sealed\n");
    }
    let Some(bundle) = bundle else {
        text.push_str("\nits sources are not in the archive\n");
        return text;
    };
    text.push_str("\nfiles\n");
    for (path, bytes) in bundle.iter() {
        text.push_str(&format!("  {:>8}  {}\n", bytes.len(), one_line(path)));
    }
    text.push_str("\npolicies\n");
    match policies::of(bundle) {
        Err(why) => text.push_str(&format!("  this version of the command cannot read them: {}\n", one_line(&why))),
        Ok(policies) => {
            for (name, kept) in &policies {
                text.push_str(&format!("  {}  {}\n", kept.effect, one_line(&name.shown())));
                for (annotation, value) in &kept.annotations {
                    text.push_str(&format!("          {annotation}: {}\n", one_line(value)));
                }
            }
        }
    }
    text
}

//! `cedargate reasons`: the reason codes, what they mean and what to do.
//!
//! The table is [`Reason`]'s own; only the advice is added here. `docs/reason-codes.md` is the output of `--format markdown`.

use std::fmt::Write as _;

use miette::miette;
use serde::Serialize;

use super::output;
use super::{Exit, exit};
use crate::decision::Reason;

const EXAMPLES: &str = r"
cedargate reasons
    every reason code
cedargate reasons jwt.expired
    one of them, with what to do
cedargate reasons jwt
    those that begin with `jwt.`
cedargate reasons --format markdown > docs/reason-codes.md";

const INTRO: &str = "# Reason codes

<!-- Made by `cedargate reasons --format markdown`: do not edit. -->

Every request that reaches the gate ends with exactly one of these codes, which is written in its decision record. Codes are stable: none
is ever renamed or used again for something else.

The caller is told the *public code*, in the problem document of a denial, and a decision id: with that id an operator finds the record,
and in it the code and what exactly was wrong. What a token was refused for is never told: the public code is always `invalid_token`, and for
a certificate `invalid_certificate`, for a signed URL `invalid_signed_url`. Of DPoP proofs the caller learns what RFC 9449 has it know: `invalid_dpop_proof`, `use_dpop_nonce`.

The status is the one a caller with a verified identity gets. A `policy.…` denial of a request without any credential is answered with 401
instead: say who you are.
";

/// Explain the reason codes of decision records
///
/// For each code: the status, the public code that the caller sees, what it means, and what caller and operator should do.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::help(EXAMPLES, &[Exit::Ok, Exit::Failed]))]
pub struct ReasonsArgs {
    /// A code, or the first part of some: `jwt.expired`, `request`; all when left out
    #[arg(value_name = "CODE")]
    code: Option<String>,
    /// How they are written; `markdown` is the page docs/reason-codes.md
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, value_name = "human|json|markdown")]
    format: Format,
}

/// How the table is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Human,
    /// For programs
    Json,
    /// For the documentation
    Markdown,
}

/// Runs `cedargate reasons`.
///
/// # Errors
/// When there is no such code.
pub fn run(args: &ReasonsArgs) -> miette::Result<Exit> {
    let reasons: Vec<_> = match args.code.as_deref() {
        None => Reason::ALL.to_vec(),
        Some(wanted) => Reason::ALL.iter().copied().filter(|reason| matches(*reason, wanted)).collect(),
    };
    if reasons.is_empty() {
        let code = args.code.as_deref().unwrap_or_default();
        return Err(miette!(help = "`cedargate reasons` lists them all", "there is no reason code `{code}`"));
    }
    output::stdout(&match args.format {
        Format::Human => human(&reasons, args.code.is_some()),
        Format::Json => output::json(&reasons.iter().map(|reason| row(*reason)).collect::<Vec<_>>())?,
        Format::Markdown => markdown(&reasons),
    })?;
    Ok(Exit::Ok)
}

fn matches(reason: Reason, wanted: &str) -> bool {
    reason.code() == wanted || group(reason) == wanted.trim_end_matches('.')
}

fn group(reason: Reason) -> &'static str {
    reason.code().split_once('.').map_or("", |(group, _)| group)
}

#[derive(Debug, Serialize)]
struct Row {
    code: &'static str,
    status: u16,
    public: &'static str,
    meaning: &'static str,
    caller: &'static str,
    operator: &'static str,
}

fn row(reason: Reason) -> Row {
    let (caller, operator) = advice(reason);
    Row { code: reason.code(), status: reason.status(), public: reason.public(), meaning: reason.meaning(), caller, operator }
}

/// What the caller and what the operator should do. By group, and closer where the group's advice would mislead.
pub(super) fn advice(reason: Reason) -> (&'static str, &'static str) {
    const NOTHING: &str = "nothing";
    const NEW_TOKEN: &str = "get a new token and try again";
    match reason.code() {
        "policy.permit" | "gate.health" | "gate.metadata" => (NOTHING, NOTHING),
        "policy.forbid" => ("do not retry; ask whoever grants access", "see the determining policies and their reasons in the record"),
        "policy.no_permit" => (
            "check method and path; else ask whoever grants access",
            "if they should have access, compare principal, action and resource in the record with the policies",
        ),
        "policy.insufficient_scope" => (
            "ask the issuer for a token with the scope that `www-authenticate` names",
            "if the client should have the scope, grant it at the issuer; else correct the route's scope",
        ),
        "policy.step_up" => (
            "let the user log in again as `acr_values` and `max_age` of `www-authenticate` say, and try with the new token",
            "nothing; if it repeats, see whether the issuer puts `acr` and `auth_time` into its tokens",
        ),
        "policy.error" => (
            "report it with the decision id",
            "the record says which policy failed; guard the attribute it reads with `has`, and check again",
        ),
        "request.method_unknown" => ("use a method the API documents", "if the API needs the method, it cannot stand behind this gate"),
        "request.client_address_invalid" => (
            "report it with the decision id",
            "compare `trusted_hops` with the proxies that really stand in front; a proxy must append to `x-forwarded-for`",
        ),
        "request.headers_too_many" | "request.headers_too_large" | "request.path_too_long" | "request.query_too_long" => {
            ("send less; if cookies have piled up, remove them", "if it is a real client, see the limits in the configuration reference")
        }
        "request.spin_header_repeated" => {
            ("do not send `spin-*` fields", "a forgery or a proxy that copies the runtime's own fields: find out which")
        }
        "request.framing_ambiguous"
        | "request.host_ambiguous"
        | "request.content_length_repeated"
        | "request.authorization_repeated"
        | "request.host_repeated" => (
            "send the field once; if you do, a proxy on the way adds another",
            "many from one address are an attempt to be understood differently by two servers (request smuggling)",
        ),
        "jwt.expired" | "jwt.too_old" => (NEW_TOKEN, "if new tokens are refused too, compare the clocks of issuer and gate"),
        "jwt.not_yet_valid" | "jwt.issued_in_future" => {
            ("try again in a moment", "compare the clocks of issuer and gate; `leeway_seconds` allows for up to 60")
        }
        "jwt.key_unknown" => (NEW_TOKEN, "the issuer may have new keys: update its file in `keys/` and seal again"),
        "jwt.signature_invalid" => (NEW_TOKEN, "many of them are a forgery, or a key in `keys/` that is not the issuer's"),
        "jwt.issuer_unknown" | "jwt.audience" => (
            "get a token of an issuer, and for an audience, that the API documents",
            "compare `iss` and `aud` in the record with `keys/issuers.toml`: they match to the byte, a `/` at the end included",
        ),
        "jwt.algorithm_not_allowed" | "jwt.type_not_allowed" => {
            (NEW_TOKEN, "if the issuer may use it, add it to `algorithms` or `types` in `keys/issuers.toml`")
        }
        "jwt.unsecured" | "jwt.algorithm_mismatch" | "jwt.critical" => {
            (NEW_TOKEN, "no honest issuer makes such a token: treat it as an attack")
        }
        "jwt.too_many_groups" | "jwt.too_large" => {
            ("ask the issuer for a smaller token", "let the issuer send only the groups this API needs")
        }
        "jwt.subject_missing" | "jwt.claim_invalid" => {
            (NEW_TOKEN, "compare `[issuer.claims]` in `keys/issuers.toml` with what the issuer really sends")
        }
        "signed_url.expired" | "signed_url.not_yet_valid" => ("ask for a new link, or wait for its beginning", NOTHING),
        "signed_url.key_unknown" | "signed_url.key_retired" | "signed_url.policy_changed" => {
            ("ask for a new link", "if links were to go on, keep the key as `verify-only` in `signed_url_keys`, and `pin_policy` off")
        }
        "signed_url.method" | "signed_url.address" => ("use the link as it was meant, or ask for another one", NOTHING),
        "sign.lifetime" => ("ask for less", "`max_lifetime_seconds` in `keys/signed-urls.toml`, `max_link_seconds` of the route"),
        "sign.format" => ("ask for another kind of URL, or for less", "see the `[[target]]` entries of `keys/signed-urls.toml`"),
        "gate.length_required" => ("send `content-length`, or no body", NOTHING),
        "gate.not_found" | "gate.method_not_allowed" => ("use GET `/.well-known/cedargate/health`", NOTHING),
        "system.unsealed" => ("try again later", "deploy the sealed component (`cedargate seal`), not the base one"),
        "system.clock" => ("try again later", "set the host's clock"),
        "system.configuration" => ("try again later", "the record names the variable: set it in the deployment"),
        "system.audit_unavailable" => (
            "try again later; a request with side effects may have had them",
            "see to where records go: the component's standard output, and the sink where there is one",
        ),
        "system.internal" => ("try again later; report it with the decision id", "a fault of the gate: report it with the record"),
        _ => match group(reason) {
            "request" => (
                "correct the request; retrying the same one is of no use",
                "one client: tell its owners. Many forms of it from one address: someone is probing",
            ),
            "signed_url" => {
                ("use the link exactly as it was given, or ask for a new one", "many from one address: somebody tries to change links")
            }
            "auth" => ("send `authorization: Bearer <token>`", "tell the client's owners"),
            "jwt" => (NEW_TOKEN, "the record says what was wrong; tell the client's owners or the issuer's"),
            "system" => (
                "try again later; a request with side effects may have had them",
                "the record says what failed: see to the origin and the way to it",
            ),
            _ => ("do not retry; ask whoever grants access", "see the record"),
        },
    }
}

fn human(reasons: &[Reason], advise: bool) -> String {
    let width = reasons.iter().map(|reason| reason.code().len()).max().unwrap_or(0);
    let mut text = String::new();
    for (index, Row { code, status, public, meaning, caller, operator }) in reasons.iter().map(|reason| row(*reason)).enumerate() {
        if advise && index > 0 {
            text.push('\n');
        }
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "\x1b[1m{code:width$}\x1b[0m  {status}  {public}\n    {meaning}");
        if advise {
            let _ = writeln!(text, "    caller:   {caller}\n    operator: {operator}");
        }
    }
    text
}

fn markdown(reasons: &[Reason]) -> String {
    let mut text = INTRO.to_owned();
    let mut groups: Vec<&str> = Vec::new();
    for reason in reasons {
        if !groups.contains(&group(*reason)) {
            groups.push(group(*reason));
        }
    }
    for name in groups {
        let _ = write!(
            text,
            "\n## {name}\n\n| code | status | public code | meaning | the caller should | the operator should |\n|---|---|---|---|---|---|\n"
        );
        for reason in reasons.iter().filter(|reason| group(**reason) == name) {
            let Row { code, status, public, meaning, caller, operator } = row(*reason);
            let _ = writeln!(text, "| `{code}` | {status} | `{public}` | {} | {} | {} |", cell(meaning), cell(caller), cell(operator));
        }
    }
    text
}

/// Text of a table's cell: a bar would end it.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_in_the_page_once_with_all_its_columns() {
        let page = markdown(Reason::ALL);
        for reason in Reason::ALL {
            let lines: Vec<_> = page.lines().filter(|line| line.starts_with(&format!("| `{}` |", reason.code()))).collect();
            assert_eq!(lines.len(), 1, "{}", reason.code());
            let cells: Vec<_> = lines[0].trim_matches('|').split(" | ").collect();
            assert_eq!(cells.len(), 6, "{}", lines[0]);
            assert!(cells.iter().all(|cell| !cell.trim().is_empty()), "{}", lines[0]);
        }
    }

    #[test]
    fn the_page_in_docs_is_this_one() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reason-codes.md");
        let kept = std::fs::read_to_string(file).unwrap_or_default();
        assert!(kept == markdown(Reason::ALL), "docs/reason-codes.md is not what the table says: review it and run `make docs`");
    }

    #[test]
    fn every_advice_is_for_a_code_that_exists() {
        let source = include_str!("reasons.rs");
        let (_, rest) = source.split_once("match reason.code() {").unwrap();
        let (arms, _) = rest.split_once("_ => match group(reason)").unwrap();
        let codes: Vec<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        let mut seen = 0;
        for line in arms.lines().filter(|line| line.contains("=>")) {
            for code in line.split_once("=>").unwrap().0.split('"').skip(1).step_by(2) {
                assert!(codes.contains(&code), "{code}");
                seen += 1;
            }
        }
        assert!(seen > 20, "{seen}");
    }

    #[test]
    fn one_code_and_one_group_can_be_asked_for() {
        let codes = |wanted: &str| Reason::ALL.iter().filter(|reason| matches(**reason, wanted)).count();
        assert_eq!(codes("jwt.expired"), 1);
        assert!(codes("jwt") > 20);
        assert_eq!(codes("jwt."), codes("jwt"));
        assert_eq!((codes("jw"), codes("jwt.exp"), codes("")), (0, 0, 0));
    }

    #[test]
    fn json_has_every_field() {
        let json = serde_json::to_value(row(Reason::JwtExpired)).unwrap();
        for field in ["code", "status", "public", "meaning", "caller", "operator"] {
            assert!(json.get(field).is_some(), "{field}");
        }
        assert_eq!((json["code"].as_str(), json["status"].as_u64()), (Some("jwt.expired"), Some(401)));
    }
}

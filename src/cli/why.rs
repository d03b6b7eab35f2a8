//! `cedargate why`: why a request, or a test, is answered as it is.
//!
//! What `cedargate audit why` tells of a record, of something that no gate was asked: the request goes through the same pipeline as with
//! `cedargate try`, a test is asked as `cedargate test` does, and both are told in the same words.

use std::fmt::Write as _;

use miette::miette;
use serde_json::{Value, json};

use super::attempt::{Asked, Tried, text};
use super::audit::{Told, meaning, one_line, verdict};
use super::files::Folders;
use super::output::{self, Format};
use super::test::{self, Answered, Tests};
use super::{Exit, exit};
use crate::bundle::nearest;

const EXAMPLES: &str = r"
cedargate why DELETE /api/documents/1 --token-file token.txt
    which policies decide, which clause fails, which permit comes nearest
cedargate why --curl 'curl https://api.example.com/api/admin'
    the same for a command line that somebody sent you
cedargate why --test 'readers change documents'
    why a test is answered as it is; --test FILE and FILE:NAME do as well";

/// Explain the answer to a request or to a test
///
/// Tells which policies decide, with their text and what each of their clauses is for this very request, which permits apply and are
/// outweighed, and for a denial that no policy asked for the permits that come nearest and what they lack. The request is given as to
/// `cedargate try`, and goes nowhere.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::help(EXAMPLES, &[Exit::Ok, Exit::Failed, Exit::Invalid]))]
pub struct WhyArgs {
    #[command(flatten)]
    folders: Folders,
    #[command(flatten)]
    asked: Asked,
    /// Tests with this in their name, or those of a file, or both as FILE:NAME
    #[arg(long, value_name = "NAME", conflicts_with_all = ["method", "curl", "request", "headers", "token_file", "client", "now"])]
    test: Option<String>,
    /// How the answer is written: `json` is an array of {asked, test, decision, reason, meaning, status, policies, outweighed, nearest, …}
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, value_name = "human|json")]
    format: Format,
}

/// Runs `cedargate why`.
///
/// # Errors
/// When nothing is asked or no test is meant, a file cannot be read, or policies, keys or tests are not valid.
pub fn run(args: &WhyArgs) -> miette::Result<Exit> {
    let WhyArgs { folders, asked, test, format } = args;
    let (texts, values): (Vec<String>, Vec<Value>) = match test {
        Some(wanted) => {
            let tests = Tests::read(folders)?;
            let meant = meant(&tests, wanted)?;
            let file = |answered: &Answered| tests.on_disk(&answered.case.file).display().to_string();
            meant.iter().map(|answered| (of_test(answered, &file(answered)), json_of_test(answered, &file(answered)))).unzip()
        }
        None if asked.is_empty() => {
            let help = "write a method and a path, such as `GET /api/documents/1`, or give a request with --curl or --request, or a test with --test";
            return Err(miette!(help = help, "nothing to explain"));
        }
        None => {
            let tried = asked.put(folders)?;
            (vec![of_request(&tried)], vec![json_of_request(&tried)])
        }
    };
    output::stdout(&match format {
        Format::Human => texts.join("\n"),
        Format::Json => output::json(&values)?,
    })?;
    Ok(Exit::Ok)
}

/// The tests that are meant by a name, a file, or both.
fn meant(tests: &Tests, wanted: &str) -> miette::Result<Vec<Answered>> {
    let cases = tests.cases()?;
    let ending = [".yaml", ".json"].into_iter().filter_map(|ending| wanted.find(ending)?.checked_add(ending.len())).min();
    let (file, name) = match ending.and_then(|end| wanted.split_at_checked(end)) {
        Some((file, "")) => (file, ""),
        Some((file, rest)) if rest.starts_with(':') => (file, rest.trim_start_matches(':')),
        _ => ("", wanted),
    };
    let of_file = |path: &str| file.is_empty() || tests.on_disk(path).ends_with(file) || path == file;
    let names: Vec<String> = cases.iter().filter(|case| of_file(&case.file)).map(|case| case.name.clone()).collect();
    let meant: Vec<Answered> = cases
        .into_iter()
        .filter(|case| of_file(&case.file) && case.name.contains(name))
        .map(|case| test::answer(&tests.gate, case))
        .collect();
    if meant.is_empty() {
        let help = match nearest(name, names.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{}`?", one_line(near)),
            None => "`cedargate test` runs those of policies/tests/; a name may be given in part, a file as `documents.yaml`".to_owned(),
        };
        return Err(miette!(help = help, "no test is called `{}`", wanted.escape_debug()));
    }
    Ok(meant)
}

fn of_request(tried: &Tried) -> String {
    let Tried { line, facts, decision, explanation, answer } = tried;
    let mut text = format!("\x1b[1m{}\x1b[0m\n", one_line(line));
    if let Some(verdict) = &decision.verdict {
        question(&verdict.principal, &verdict.action, &verdict.resource, &mut text);
    } else if facts.is_err() {
        text.push_str("It cannot be read in one way only, so that no policy was asked.\n");
    } else {
        text.push_str("No policy was asked.\n");
    }
    let (allow, code, detail) = match &decision.outcome {
        Ok(_) => (true, decision.reason().code(), ""),
        Err(denial) => (false, denial.reason.code(), denial.detail.as_str()),
    };
    // What a permit is answered with is the origin's to say.
    let status = if allow { 0 } else { answer.as_ref().map_or(decision.status, |answer| answer.status) };
    let _ = write!(text, "\n{}", verdict(allow, code, status, detail));
    if !decision.credentials.is_empty() {
        text.push_str("\n\x1b[1mCredentials\x1b[0m\n");
        decision.credentials.iter().for_each(|one| text::credential(one, &mut text));
    }
    if let Some(explanation) = explanation {
        text.push_str(&Told::of(explanation).human());
    }
    text
}

fn json_of_request(tried: &Tried) -> Value {
    let Tried { line, facts: _, decision, explanation, answer } = tried;
    let cedar = decision.verdict.as_ref();
    let mut told = json!({
        "asked": line, "test": null,
        "decision": if decision.outcome.is_ok() { "allow" } else { "deny" },
        "reason": decision.reason().code(), "meaning": decision.reason().meaning(),
        "detail": decision.outcome.as_ref().err().map(|denial| &denial.detail),
        "status": answer.as_ref().map(|answer| answer.status),
        "credentials": decision.credentials.iter().map(text::credential_json).collect::<Vec<_>>(),
        "cedar": cedar.map(|cedar| json!({ "principal": cedar.principal, "action": cedar.action, "resource": cedar.resource })),
        "errors": cedar.map(|cedar| &cedar.errors),
    });
    add(&mut told, explanation.as_ref().map(|explanation| Told::of(explanation).json()));
    told
}

fn of_test(answered: &Answered, file: &str) -> String {
    let Answered { case, got, differences, explanation } = answered;
    let place = format!("{file}:{}", case.line);
    let mut text = format!("\x1b[1m{}: {}\x1b[0m\n", one_line(&place), one_line(&case.name));
    if let Some(explanation) = explanation {
        let verdict = &explanation.verdict;
        question(&verdict.principal, &verdict.action, &verdict.resource, &mut text);
    }
    let detail = got.errors.join("; ");
    text.push('\n');
    // Asked in Cedar's own terms there is neither a reason code nor a status.
    if got.status == 0 {
        let _ = writeln!(text, "{}", if got.allow { "\x1b[1;32mAllowed\x1b[0m" } else { "\x1b[1;31mDenied\x1b[0m" });
    } else {
        text.push_str(&verdict(got.allow, got.reason, got.status, &detail));
    }
    if differences.is_empty() {
        text.push_str("  as the test expects\n");
    } else {
        let _ = writeln!(text, "  \x1b[31mnot as the test expects\x1b[0m: {}", one_line(&differences.join("; ")));
    }
    if let Some(explanation) = explanation {
        text.push_str(&Told::expecting(explanation, case.expected.by.as_deref().unwrap_or_default()).human());
    }
    text
}

fn json_of_test(answered: &Answered, file: &str) -> Value {
    let Answered { case, got, differences, explanation } = answered;
    let cedar = explanation.as_ref().map(|explanation| &explanation.verdict);
    let in_gates_terms = got.status > 0;
    let mut told = json!({
        "asked": null,
        "test": { "file": file, "line": case.line, "name": case.name, "passed": differences.is_empty(), "differences": differences },
        "decision": if got.allow { "allow" } else { "deny" },
        "reason": in_gates_terms.then_some(got.reason), "meaning": in_gates_terms.then(|| meaning(got.reason)),
        "detail": null,
        "status": in_gates_terms.then_some(got.status),
        "credentials": [],
        "cedar": cedar.map(|cedar| json!({ "principal": cedar.principal, "action": cedar.action, "resource": cedar.resource })),
        "errors": got.errors,
    });
    let expected = case.expected.by.as_deref().unwrap_or_default();
    add(&mut told, explanation.as_ref().map(|explanation| Told::expecting(explanation, expected).json()));
    told
}

fn question(principal: &str, action: &str, resource: &str, text: &mut String) {
    let [principal, action, resource] = [principal, action, resource].map(one_line);
    let _ = writeln!(text, "May {principal} do {action} with {resource}?");
}

/// The members of one object, added to another.
fn add(to: &mut Value, from: Option<Value>) {
    if let (Value::Object(to), Some(Value::Object(from))) = (to, from) {
        to.extend(from);
    }
}

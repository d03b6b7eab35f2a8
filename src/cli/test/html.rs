//! Coverage as one page: no script, nothing from elsewhere, light and dark.

use std::fmt::Write as _;

use super::coverage::{Coverage, Seen, Share};
use super::told::markup;

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1d2327; --soft: #5c6670; --line: #d8dee4; --paper: #fff; --good: #1a7f37; --bad: #b42318; --tint: #f6f8fa }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --soft: #9aa4ae; --line: #353c44; --paper: #14181c; --good: #4ac26b; --bad: #ff7b72; --tint: #1c2228 } }
body { margin: 2rem auto; max-width: 60rem; padding: 0 1rem; font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper) }
h1 { font-size: 1.4rem } h2 { font-size: 1rem; margin: 0; font-family: ui-monospace, monospace }
section { border: 1px solid var(--line); border-radius: 6px; padding: .75rem 1rem; margin: .75rem 0 }
p { margin: .25rem 0; color: var(--soft) }
table { border-collapse: collapse; width: 100%; margin-top: .5rem; font-size: .9rem }
th { text-align: left; font-weight: 600; color: var(--soft) } td, th { padding: .2rem .75rem .2rem 0; vertical-align: top }
td:nth-child(n+3), th:nth-child(n+3) { text-align: right; white-space: nowrap }
code { font-family: ui-monospace, monospace; overflow-wrap: anywhere; background: var(--tint); padding: .05rem .25rem; border-radius: 3px }
.good { color: var(--good) } .bad { color: var(--bad); font-weight: 600 }
";

/// The page.
pub(in crate::cli) fn page(coverage: &Coverage) -> String {
    let mut text = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>Policy coverage</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>Policy coverage: {}</h1>\n",
        coverage.total().percent()
    );
    let share = |Share { seen, of }: Share| format!("{seen} of {of}");
    let _ = writeln!(
        text,
        "<p>{} policies applied in a test; {} conditions were seen true and false. A condition counts where the policy's scope fits the \
         request and everything before it holds.</p>",
        share(coverage.applied()),
        share(coverage.conditions())
    );
    for (id, seen) in coverage.policies() {
        policy(&mut text, id, seen);
    }
    text.push_str("</body>\n</html>\n");
    text
}

fn policy(text: &mut String, id: &str, Seen { permits, applied, conditions }: &Seen) {
    let effect = if *permits { "permit" } else { "forbid" };
    let _ = writeln!(text, "<section>\n<h2>{}</h2>", markup(id));
    let _ = match applied {
        1 => writeln!(text, "<p>{effect}, applied <span class=\"good\">once</span></p>"),
        0 => writeln!(text, "<p>{effect}, <span class=\"bad\">never applied</span></p>"),
        _ => writeln!(text, "<p>{effect}, applied <span class=\"good\">{applied}</span> times</p>"),
    };
    if !conditions.is_empty() {
        text.push_str("<table>\n<tr><th></th><th>condition</th><th>true</th><th>false</th></tr>\n");
        for one in conditions {
            let cell = |count: u64| format!("<td class=\"{}\">{count}</td>", if count == 0 { "bad" } else { "good" });
            let _ = writeln!(
                text,
                "<tr><td>{}</td><td><code>{}</code></td>{}{}</tr>",
                one.part,
                markup(&one.text),
                cell(one.yes),
                cell(one.no)
            );
        }
        text.push_str("</table>\n");
    }
    text.push_str("</section>\n");
}

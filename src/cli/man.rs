//! `cedargate man`: manual pages, made of the same definition as the help.

use std::path::PathBuf;

use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
use miette::IntoDiagnostic as _;

use super::seal::write_whole;
use super::{Exit, app, exit, output};

/// The section of commands.
const SECTION: &str = "1";
/// The whole the pages are a part of.
const MANUAL: &str = "Cedargate";

const EXAMPLES: &str = r"
cedargate man > cedargate.1
    the page of the command itself; `man -l cedargate.1` shows it
cedargate man --out /usr/local/share/man/man1
    write a page for each subcommand, so that `man cedargate-seal` finds it
cedargate man --out man
    the same into a folder, for a package";

/// Write the manual pages
///
/// They are made of the same definition as this help, so write them anew with each version of the command.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::help(EXAMPLES, &[Exit::Ok, Exit::Failed]))]
pub struct ManArgs {
    /// Write a page for each subcommand into this folder, instead of the command's own to standard output
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Runs `cedargate man`.
///
/// # Errors
/// When a page cannot be written.
pub fn run(args: &ManArgs) -> miette::Result<Exit> {
    let pages = pages()?;
    match &args.out {
        None => {
            let own = pages.into_iter().next().map(|(_, page)| page);
            output::stdout(&own.unwrap_or_default())?;
        }
        Some(folder) => {
            let mut said = String::new();
            for (name, page) in pages {
                let path = folder.join(name);
                write_whole(&path, page.as_bytes())?;
                said.push_str(&format!("{}\n", path.display()));
            }
            output::stdout(&said)?;
        }
    }
    Ok(Exit::Ok)
}

/// All pages with the names of their files, that of the command itself first.
fn pages() -> miette::Result<Vec<(String, String)>> {
    let mut command = app::command();
    command.build();
    let mut pages = vec![];
    let mut waiting = vec![command];
    while let Some(command) = waiting.pop() {
        waiting.extend(command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()).cloned());
        let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
        pages.push((format!("{name}.{SECTION}"), page(command)?));
    }
    // The shortest name is the command's own: all others begin with it.
    pages.sort_by(|(one, _), (other, _)| one.trim_end_matches(".1").cmp(other.trim_end_matches(".1")));
    Ok(pages)
}

fn page(command: clap::Command) -> miette::Result<String> {
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let subcommands = command.has_subcommands();
    let man = Man::new(command).section(SECTION).source(format!("cedargate {}", env!("CARGO_PKG_VERSION"))).manual(MANUAL);
    let mut page = vec![];
    let render = |page: &mut Vec<u8>| {
        man.render_title(page)?;
        man.render_name_section(page)?;
        man.render_synopsis_section(page)?;
        man.render_description_section(page)?;
        man.render_options_section(page)?;
        if subcommands {
            man.render_subcommands_section(page)?;
        }
        after_help(&after).to_writer(page)
    };
    render(&mut page).into_diagnostic()?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

/// Examples and exit codes, line by line as the help has them: filled, they could not be read.
fn after_help(text: &str) -> Roff {
    let mut roff = Roff::new();
    let mut open = false;
    for line in text.lines() {
        match line.strip_suffix(':').filter(|heading| !heading.starts_with(' ')) {
            Some(heading) => {
                if open {
                    roff.control("fi", []);
                }
                roff.control("SH", [heading.to_uppercase().as_str()]);
                roff.control("nf", []);
                open = true;
            }
            None if line.is_empty() => {}
            None => {
                roff.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
            }
        }
    }
    if open {
        roff.control("fi", []);
    }
    roff
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;

    /// What groff makes of a page, and what it complains about; none where there is no groff.
    fn shown(page: &str) -> Option<(String, String)> {
        let mut child = Command::new("groff")
            .args(["-k", "-man", "-Tutf8", "-ww", "-P-cbou", "-rLL=200n"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .ok()?;
        child.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8_lossy(bytes).replace(['\u{2010}', '\u{2212}'], "-");
        Some((text(&output.stdout), text(&output.stderr)))
    }

    #[test]
    fn every_subcommand_has_a_page_that_names_all_its_options() {
        fn all(command: &clap::Command, found: &mut Vec<clap::Command>) {
            found.push(command.clone());
            command.get_subcommands().for_each(|subcommand| all(subcommand, found));
        }
        let mut command = app::command();
        command.build();
        let mut commands = vec![];
        all(&command, &mut commands);
        let pages: std::collections::BTreeMap<String, String> = pages().unwrap().into_iter().collect();
        assert_eq!(pages.len(), commands.len());
        assert!(pages.len() > 20 && pages.contains_key("cedargate-audit-query.1"), "{:?}", pages.keys());
        for command in &commands {
            let name = command.get_display_name().unwrap_or_else(|| command.get_name());
            let page = &pages[&format!("{name}.1")];
            // As groff shows it, else the page with its marks taken off.
            let bare = || page.replace("\\-", "-").replace("\\fB", "").replace("\\fI", "").replace("\\fR", "").replace("\\fP", "");
            let (text, complaints) = shown(page).unwrap_or_else(|| (bare(), String::new()));
            assert_eq!(complaints, "", "{name}");
            for arg in command.get_arguments() {
                let wanted = arg.get_long().map(|long| format!("--{long}"));
                let wanted = wanted.or_else(|| Some(arg.get_value_names()?.first()?.to_string())).unwrap();
                assert!(text.contains(&wanted), "{name}: {wanted} in\n{text}");
            }
            for subcommand in command.get_subcommands() {
                assert!(text.contains(&format!("{name}-{}(1)", subcommand.get_name())), "{name}: {}", subcommand.get_name());
            }
            for heading in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS"] {
                assert!(text.lines().any(|line| line == heading), "{name}: {heading}");
            }
            if command.get_after_help().is_some() {
                for line in command.get_after_help().unwrap().to_string().lines().filter(|line| line.starts_with("  ")) {
                    assert!(text.contains(line.trim()), "{name}: {line} in\n{text}");
                }
            }
        }
    }

    #[test]
    fn the_commands_own_page_is_the_first() {
        let pages = pages().unwrap();
        assert_eq!(pages[0].0, "cedargate.1");
        assert!(pages[0].1.contains("cedargate\\-seal(1)"), "{}", pages[0].1);
    }

    #[test]
    fn a_line_that_looks_like_a_request_to_groff_is_text() {
        let roff = after_help("Examples:\n  .so /etc/passwd\n  'br\n  a\\b\n").to_roff();
        assert!(roff.contains("\n\\&.so /etc/passwd") && roff.contains("a\\\\b") && !roff.contains("\n'br"), "{roff}");
    }
}

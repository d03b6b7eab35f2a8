//! `cedargate completions`: what a shell needs to complete the command.

use clap_complete::Shell;

use super::{Exit, app, exit, output};

const EXAMPLES: &str = r"
cedargate completions bash > /etc/bash_completion.d/cedargate
    for everybody on this machine
cedargate completions zsh > ~/.zfunc/_cedargate
    for one's own zsh, where `fpath` has that folder
cedargate completions fish > ~/.config/fish/completions/cedargate.fish
    for one's own fish";

/// Write the completions of a shell
///
/// They are made of the same definition as this help, so write them anew with each version of the command.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::help(EXAMPLES, &[Exit::Ok, Exit::Failed]))]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum, hide_possible_values = true, value_name = "bash|zsh|fish|powershell|elvish")]
    shell: Shell,
}

/// Runs `cedargate completions`.
///
/// # Errors
/// When standard output cannot be written.
pub fn run(args: &CompletionsArgs) -> miette::Result<Exit> {
    output::stdout(&script(args.shell))?;
    Ok(Exit::Ok)
}

fn script(shell: Shell) -> String {
    let mut script = vec![];
    clap_complete::generate(shell, &mut app::command(), "cedargate", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use clap::ValueEnum as _;

    use super::*;

    /// Every subcommand with those below it, as words.
    fn subcommands() -> Vec<Vec<String>> {
        fn below(command: &clap::Command, above: &[String], all: &mut Vec<Vec<String>>) {
            for subcommand in command.get_subcommands() {
                let words = [above, &[subcommand.get_name().to_owned()]].concat();
                below(subcommand, &words, all);
                all.push(words);
            }
        }
        let mut all = vec![];
        below(&app::command(), &[], &mut all);
        all
    }

    fn bash(script: &str, more: &str) -> (bool, String) {
        let mut child = Command::new("bash")
            .args(["--norc", "-s"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("bash can be run");
        child.stdin.take().unwrap().write_all(format!("{script}\n{more}\n").as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    }

    #[test]
    fn bash_takes_the_script_and_completes_every_subcommand() {
        let script = script(Shell::Bash);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &script).unwrap();
        let syntax = |path: &std::path::Path| Command::new("bash").arg("-n").arg(path).output().unwrap();
        let output = syntax(file.path());
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        let broken = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(broken.path(), script.replacen("esac", "", 1)).unwrap();
        assert!(!syntax(broken.path()).status.success(), "the control: bash tells a broken script");
        // What is offered after `cedargate`, and after `cedargate audit`.
        for (words, offered) in [("", 1), ("audit", 2), ("archive", 2)] {
            let mut line = vec!["cedargate".to_owned()];
            line.extend(words.split_whitespace().map(str::to_owned));
            line.push(String::new());
            let words_of_bash = line.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
            let ask = format!(
                "COMP_WORDS=({words_of_bash}); COMP_CWORD={}; _cedargate cedargate '' '{}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
                line.len() - 1,
                line[line.len() - 2],
            );
            let (well, said) = bash(&script, &ask);
            assert!(well, "{said}");
            let told: Vec<&str> = said.lines().collect();
            for subcommand in subcommands().iter().filter(|all| all.len() == offered && (offered == 1 || all[0] == words)) {
                let name = subcommand.last().unwrap().as_str();
                assert!(told.contains(&name), "{name} after `cedargate {words}`: {told:?}");
            }
        }
    }

    #[test]
    fn every_shell_has_a_script_that_names_every_subcommand() {
        for shell in Shell::value_variants() {
            let script = script(*shell);
            for subcommand in subcommands() {
                let name = subcommand.last().unwrap();
                assert!(script.contains(name.as_str()), "{shell}: {name}");
            }
            assert!(script.contains("cedargate") && script.contains("color"), "{shell}");
        }
    }
}

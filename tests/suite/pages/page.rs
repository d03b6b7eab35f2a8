//! A page taken apart, and put together again.

use std::ops::Range;

/// A page of the documentation.
#[derive(Debug, Clone)]
pub struct Page {
    /// Its path in the project.
    pub name: String,
    lines: Vec<String>,
    pub items: Vec<Item>,
}

/// What a page does or shows.
#[derive(Debug, Clone)]
pub enum Item {
    /// A block with `file="…"`: it is written there. With `append="…"` it is added to what is there.
    File { path: String, text: String, append: bool },
    /// A block `console`, or `<!-- console`, which readers do not see.
    Console { ignored: Option<String>, hidden: bool, commands: Vec<Command> },
}

/// A command, and what the page says that it prints.
#[derive(Debug, Clone)]
pub struct Command {
    /// Without the `$`, on as many lines as the page has it.
    pub text: String,
    /// Where it stands, from 1.
    pub line: usize,
    pub output: Vec<String>,
    /// The lines of the output in the page.
    range: Range<usize>,
}

impl Command {
    /// The command without its `&`, when it goes on beside what follows.
    pub fn background(&self) -> Option<&str> {
        self.text.strip_suffix(" &")
    }
}

impl Page {
    pub fn parse(name: &str, text: &str) -> Result<Self, String> {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut items = vec![];
        let mut at = 0;
        while at < lines.len() {
            let line = lines[at].as_str();
            if let Some(info) = line.strip_prefix("```") {
                let end = close(&lines, at, "```")?;
                items.extend(block(info, &lines, at + 1..end)?);
                at = end;
            } else if line == "<!-- console" {
                let end = close(&lines, at, "-->")?;
                items.push(Item::Console { ignored: None, hidden: true, commands: commands(&lines, at + 1..end)? });
                at = end;
            }
            at += 1;
        }
        Ok(Self { name: name.to_owned(), lines, items })
    }

    /// Whether there is anything to do.
    pub fn runs(&self) -> bool {
        self.items.iter().any(|item| matches!(item, Item::Console { ignored: None, .. }))
    }

    /// What stands outside of fences, by line from 1.
    pub fn plain(&self) -> Vec<(usize, &str)> {
        let (mut inside, mut plain) = (false, vec![]);
        for (index, line) in self.lines.iter().enumerate() {
            let edge = line.starts_with("```") || line == "<!-- console" || line == "-->";
            inside ^= edge;
            if !inside && !edge {
                plain.push((index + 1, line.as_str()));
            }
        }
        plain
    }

    /// Has a command print something else.
    pub fn put(&mut self, item: usize, command: usize, output: Vec<String>) {
        if let Item::Console { commands, .. } = &mut self.items[item] {
            commands[command].output = output;
        }
    }

    /// The page with what its commands print now.
    pub fn text(&self) -> String {
        let consoles = self.items.iter().filter_map(|item| if let Item::Console { commands, .. } = item { Some(commands) } else { None });
        let mut commands: Vec<&Command> = consoles.flatten().collect();
        commands.sort_by_key(|command| command.range.start);
        let (mut text, mut at) = (vec![], 0);
        for Command { output, range, .. } in commands {
            text.extend(self.lines[at..range.start].iter().cloned());
            text.extend(output.iter().cloned());
            at = range.end;
        }
        text.extend(self.lines[at..].iter().cloned());
        text.join("\n") + "\n"
    }
}

/// Where a block ends.
fn close(lines: &[String], start: usize, end: &str) -> Result<usize, String> {
    let found = lines.iter().skip(start + 1).position(|line| line == end);
    found.map(|found| start + 1 + found).ok_or_else(|| format!("the block of line {} does not end", start + 1))
}

/// The value of `name="…"`.
fn attribute(info: &str, name: &str) -> Option<String> {
    let (_, rest) = info.split_once(&format!(" {name}=\""))?;
    rest.split_once('"').map(|(value, _)| value.to_owned())
}

fn block(info: &str, lines: &[String], range: Range<usize>) -> Result<Option<Item>, String> {
    let language = info.split(' ').next().unwrap_or_default();
    if language.is_empty() {
        return Err(format!("line {}: say what the block is: ```text", range.start));
    }
    if language == "console" {
        let ignored = attribute(info, "ignore");
        if ignored.is_none() && info != "console" {
            return Err(format!("line {}: `{info}` is not understood", range.start));
        }
        return Ok(Some(Item::Console { ignored, hidden: false, commands: commands(lines, range)? }));
    }
    let text = || lines[range.clone()].iter().flat_map(|line| [line.as_str(), "\n"]).collect::<String>();
    let file = |name: &str, append: bool| attribute(info, name).map(|path| Item::File { path, text: text(), append });
    Ok(file("file", false).or_else(|| file("append", true)))
}

fn commands(lines: &[String], range: Range<usize>) -> Result<Vec<Command>, String> {
    let mut commands: Vec<Command> = vec![];
    let mut at = range.start;
    while at < range.end {
        let line = lines[at].as_str();
        let comment = line.starts_with("# ")
            && lines[at + 1..range.end].iter().find(|line| !line.starts_with("# ")).is_some_and(|line| line.starts_with("$ "));
        if let Some(text) = line.strip_prefix("$ ") {
            let mut text = text.to_owned();
            let start = at + 1;
            while text.ends_with('\\') && at + 1 < range.end {
                at += 1;
                text = format!("{text}\n{}", lines[at]);
            }
            commands.push(Command { text, line: start, output: vec![], range: at + 1..at + 1 });
        } else if !comment {
            let command = commands.last_mut().ok_or_else(|| format!("line {}: a console begins with `$ `", at + 1))?;
            if command.range.end != at {
                return Err(format!("line {}: output after a comment", at + 1));
            }
            command.output.push(line.to_owned());
            command.range.end = at + 1;
        }
        at += 1;
    }
    Ok(commands)
}

#[test]
fn a_page_is_taken_apart_and_put_together_again() {
    let text = "# x\n\n```console\n# first\n$ a b\none\n\ntwo\n# then\n$ c \\\n    d\n$ e &\nlog\n```\n\n```yaml file=\"x.yaml\"\nv: 1\n```\n\n<!-- console\n$ hidden\n-->\n\n\
                ```console ignore=\"it needs a cluster\"\n$ never\n```\n    $ indented\n";
    let mut page = Page::parse("x.md", text).unwrap();
    assert_eq!(page.text(), text);
    let Item::Console { ignored: None, hidden: false, commands } = &page.items[0] else { panic!("{page:?}") };
    let told: Vec<_> = commands.iter().map(|one| (one.text.as_str(), one.line, one.output.join("|"), one.background())).collect();
    assert_eq!(
        told,
        [("a b", 5, "one||two".to_owned(), None), ("c \\\n    d", 10, String::new(), None), ("e &", 12, "log".to_owned(), Some("e"))]
    );
    assert!(matches!(&page.items[1], Item::File { path, text, append: false } if path == "x.yaml" && text == "v: 1\n"));
    assert!(matches!(&page.items[2], Item::Console { hidden: true, .. }));
    assert!(matches!(&page.items[3], Item::Console { ignored: Some(why), .. } if why == "it needs a cluster"));
    assert!(page.plain().contains(&(27, "    $ indented")), "{:?}", page.plain());
    page.put(0, 0, vec!["other".to_owned()]);
    assert!(page.text().contains("$ a b\nother\n# then\n"), "{}", page.text());

    for (bad, why) in [
        ("```console\nno command\n```\n", "a console begins with"),
        ("```console\n$ x\n", "does not end"),
        ("```\nx\n```\n", "say what the block is"),
        ("```console skip\n$ x\n```\n", "is not understood"),
    ] {
        assert!(Page::parse("x.md", bad).unwrap_err().contains(why), "{bad}");
    }
}

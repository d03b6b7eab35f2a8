//! The journal of an archive: what was released and what was brought back, in order.
//!
//! It is the one file of the archive that changes. It is always written whole, so a line that cannot be read was altered. Tags and
//! notes are in it and nowhere else: a release and its tag are one line.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use miette::{IntoDiagnostic as _, WrapErr as _};
use serde::{Deserialize, Serialize};

use super::super::diagnostic::Altered;
use super::super::seal::write_whole;
use crate::bundle::Digest;
use crate::decision::UnixTime;

/// Its name in the archive.
const NAME: &str = "journal.jsonl";
/// The one version of a line.
const VERSION: u32 = 1;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::cli) enum What {
    /// A sealed gate was taken into the archive, or given another tag or note.
    Release,
    /// One of the archive was put back in place.
    Rollback,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Event {
    /// What happened.
    pub(in crate::cli) what: What,
    /// When, by the clock of the machine.
    pub(in crate::cli) time: UnixTime,
    /// The SHA-256 of the component it is about.
    pub(in crate::cli) component: Digest,
    /// Of a rollback: the SHA-256 of the file that was in place before; none when there was none.
    pub(in crate::cli) from: Option<Digest>,
    /// The tag given.
    pub(in crate::cli) tag: Option<String>,
    /// The note given.
    pub(in crate::cli) note: Option<String>,
}

/// All events, the oldest first. Their order is that of the lines: clocks may go back, lines do not.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct Journal {
    events: Vec<Event>,
}

/// An event as a line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    v: u32,
    /// From 1 on, without a gap.
    seq: usize,
    event: What,
    time: i64,
    component: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

impl Journal {
    /// Reads the journal of an archive; one that has none had no release yet.
    ///
    /// # Errors
    /// When it cannot be read; [`Altered`] when a line is none that this command wrote.
    pub(in crate::cli) fn read(archive: &Path) -> miette::Result<Self> {
        let path = archive.join(NAME);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error).into_diagnostic().wrap_err_with(|| format!("`{}` cannot be read", path.display())),
        };
        let mut journal = Self::default();
        for (index, line) in text.lines().enumerate() {
            let number = index.saturating_add(1);
            let event = event(line, number).map_err(|why| {
                let help = "bring the file back from a copy; a newer version of this command may have written it";
                Altered::new(format!("line {number} of `{}` is no line of a journal: {why}", path.display()), help)
            })?;
            journal.events.push(event);
        }
        Ok(journal)
    }

    /// Writes it with one more event. The caller holds the archive's lock.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(in crate::cli) fn add(&mut self, archive: &Path, event: Event) -> miette::Result<()> {
        self.events.push(event);
        let mut text = String::new();
        for (index, Event { what, time, component, from, tag, note }) in self.events.iter().enumerate() {
            let line = Line {
                v: VERSION,
                seq: index.saturating_add(1),
                event: *what,
                time: time.0,
                component: component.to_string(),
                from: from.map(|from| from.to_string()),
                tag: tag.clone(),
                note: note.clone(),
            };
            text.push_str(&serde_json::to_string(&line).into_diagnostic()?);
            text.push('\n');
        }
        write_whole(&archive.join(NAME), text.as_bytes())
    }

    /// The release a tag names.
    pub(in crate::cli) fn tagged(&self, tag: &str) -> Option<Digest> {
        self.events.iter().find(|event| event.tag.as_deref() == Some(tag)).map(|event| event.component)
    }

    /// The tags of each release, in the order they were given.
    pub(in crate::cli) fn tags(&self) -> BTreeMap<Digest, Vec<&str>> {
        let mut tags: BTreeMap<Digest, Vec<&str>> = BTreeMap::new();
        for event in &self.events {
            if let Some(tag) = &event.tag {
                let given = tags.entry(event.component).or_default();
                if !given.contains(&tag.as_str()) {
                    given.push(tag);
                }
            }
        }
        tags
    }

    /// The note of a release: the one given last.
    pub(in crate::cli) fn note(&self, component: Digest) -> Option<&str> {
        self.events.iter().rev().filter(|event| event.component == component).find_map(|event| event.note.as_deref())
    }

    /// The place of a release in the order of releases: of its first line. None of one that has no line.
    pub(in crate::cli) fn place(&self, component: Digest) -> Option<usize> {
        self.events.iter().position(|event| event.what == What::Release && event.component == component)
    }

    /// The line of releases that led to what is in place, the oldest first. A release goes on top of it; a rollback takes away what is
    /// above the release it goes to, and puts one that is not in the line on top.
    fn line(&self) -> Vec<Digest> {
        let mut line: Vec<Digest> = vec![];
        for Event { what, component, .. } in &self.events {
            match (what, line.iter().rposition(|one| one == component)) {
                (What::Rollback, Some(place)) => line.truncate(place.saturating_add(1)),
                _ if line.last() == Some(component) => {}
                _ => line.push(*component),
            }
        }
        line
    }

    /// Whether the last thing that was put in place is this.
    pub(in crate::cli) fn ends_with(&self, component: Digest) -> bool {
        self.line().last() == Some(&component)
    }

    /// The release before the one that is in place. Where that is none of the line, for example because it was only sealed: the last one.
    pub(in crate::cli) fn before(&self, in_place: Option<Digest>) -> Option<Digest> {
        let line = self.line();
        match in_place.and_then(|component| line.iter().rposition(|one| *one == component)) {
            Some(place) => place.checked_sub(1).and_then(|before| line.get(before)).copied(),
            None => line.last().copied(),
        }
    }
}

fn event(line: &str, number: usize) -> Result<Event, String> {
    let Line { v, seq, event, time, component, from, tag, note } = serde_json::from_str(line).map_err(|error| error.to_string())?;
    if v != VERSION {
        return Err(format!("its version is {v}"));
    }
    if seq != number {
        return Err(format!("it is number {seq}"));
    }
    let digest = |text: &str| Digest::parse(text).ok_or_else(|| format!("`{}` is no digest", text.escape_debug()));
    let from = from.as_deref().map(digest).transpose()?;
    Ok(Event { what: event, time: UnixTime(time), component: digest(&component)?, from, tag, note })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(name: &str) -> Digest {
        Digest::of(name.as_bytes())
    }

    fn event(what: What, name: &str) -> Event {
        Event { what, time: UnixTime(1_700_000_000), component: digest(name), from: None, tag: None, note: None }
    }

    /// `+a` releases a, `-a` goes back to it.
    fn journal(events: &str) -> Journal {
        let event = |word: &str| match word.split_at(1) {
            ("+", name) => event(What::Release, name),
            (_, name) => event(What::Rollback, name),
        };
        Journal { events: events.split_whitespace().map(event).collect() }
    }

    #[test]
    fn the_release_before_is_the_one_that_was_in_place_before() {
        for (events, in_place, before) in [
            ("", None, None),
            ("", Some("x"), None),
            ("+a", Some("a"), None),
            ("+a +b +c", Some("c"), Some("b")),
            // Two in a row go two steps.
            ("+a +b +c -b", Some("b"), Some("a")),
            ("+a +b +c -b -a", Some("a"), None),
            // What was taken back is not where the next release came from.
            ("+a +b -a +d", Some("d"), Some("a")),
            // Forward again, and back.
            ("+a +b -a -b", Some("b"), Some("a")),
            ("+a +b +c -a -c", Some("c"), Some("a")),
            // Released twice in a row is released once; released again later is a step of its own.
            ("+a +b +b", Some("b"), Some("a")),
            ("+a +b +a", Some("a"), Some("b")),
            ("+a +b +a -b", Some("b"), Some("a")),
            // What is in place was only sealed, or nothing is.
            ("+a +b", Some("x"), Some("b")),
            ("+a +b", None, Some("b")),
            // A rollback that was not written down.
            ("+a +b +c", Some("b"), Some("a")),
        ] {
            assert_eq!(journal(events).before(in_place.map(digest)), before.map(digest), "{events} with {in_place:?} in place");
        }
    }

    #[test]
    fn what_is_written_is_read_and_a_clock_that_goes_back_changes_no_order() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Journal::read(folder.path()).unwrap(), Journal::default());
        let mut written = Journal::default();
        let first = Event { tag: Some("v1".into()), note: Some("first\n\u{202e}".into()), ..event(What::Release, "a") };
        written.add(folder.path(), first).unwrap();
        written.add(folder.path(), Event { time: UnixTime(5), tag: Some("v2".into()), ..event(What::Release, "b") }).unwrap();
        written.add(folder.path(), Event { from: Some(digest("b")), ..event(What::Rollback, "a") }).unwrap();
        let read = Journal::read(folder.path()).unwrap();
        assert_eq!(read, written);
        assert_eq!((read.tagged("v1"), read.tagged("v2"), read.tagged("v3")), (Some(digest("a")), Some(digest("b")), None));
        assert_eq!((read.place(digest("a")), read.place(digest("b")), read.place(digest("c"))), (Some(0), Some(1), None));
        assert_eq!((read.note(digest("a")), read.note(digest("b"))), (Some("first\n\u{202e}"), None));
        assert!(read.ends_with(digest("a")) && !read.ends_with(digest("b")));
    }

    #[test]
    fn a_line_that_was_altered_is_told_and_nothing_is_read_past_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        let mut journal = Journal::default();
        journal.add(folder.path(), event(What::Release, "a")).unwrap();
        journal.add(folder.path(), event(What::Release, "b")).unwrap();
        let good = fs::read_to_string(&path).unwrap();
        assert!(Journal::read(folder.path()).is_ok());
        let (first, second) = good.split_once('\n').unwrap();
        for wrong in [
            good.replace("\"v\":1", "\"v\":2"),
            good.replace("release", "relese"),
            good.replace("component", "componnent"),
            good.replacen(&digest("b").to_string(), "b", 1),
            // The first line is missing, the order another, the end cut off.
            second.to_owned(),
            format!("{second}{first}\n"),
            good.trim_end().trim_end_matches('}').to_owned(),
        ] {
            assert_ne!(wrong, good);
            fs::write(&path, &wrong).unwrap();
            let error = Journal::read(folder.path()).unwrap_err();
            assert!(error.downcast_ref::<Altered>().is_some() && error.to_string().contains("is no line of a journal"), "{wrong}: {error}");
        }
    }
}

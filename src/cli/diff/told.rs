//! What differs, told to people and programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::super::audit::{Input, one_line};
use super::super::diagnostic::count;
use super::super::prove;
use super::super::replay::Tally;
use super::answers::{Answers, Found};
use super::files::{self, How};
use super::policies::{Changed, One, Policies, effect};
use super::{Proofs, Relation};
use crate::bundle::Digest;
use crate::decision::Flip;

/// Most answers of one source that are listed for people; programs get all.
const LISTED: usize = 50;
/// Most kinds of request that are shown with an example.
const EXAMPLES: usize = 6;

/// Everything that was compared.
pub(super) struct Told<'d> {
    pub(super) names: &'d [(String, Digest); 2],
    pub(super) policies: &'d Policies,
    pub(super) files: &'d [files::Changed],
    pub(super) matrix: &'d Found,
    pub(super) tests: &'d Found,
    pub(super) log: Option<&'d (Input, Tally)>,
    pub(super) proofs: Option<&'d Proofs>,
}

impl Told<'_> {
    /// How many answers give somebody what they did not have and nobody approved.
    pub(super) fn widened(&self) -> u64 {
        let asked = [self.matrix, self.tests].into_iter().flatten().map(|answers| answers.count(Flip::DenyToAllow).1);
        let proved = self.kinds().filter(|one| one.widens()).count();
        asked.chain([proved]).fold(super::widened(self.log), |sum, number| sum.saturating_add(u64::try_from(number).unwrap_or(u64::MAX)))
    }

    /// What is proved of each kind of request.
    fn kinds(&self) -> impl Iterator<Item = &super::Comparison> {
        self.proofs.and_then(|proofs| proofs.as_ref().ok()).into_iter().flatten()
    }

    /// How many answers take something away, or fail.
    fn narrowed(&self) -> u64 {
        let lost = |answers: &Answers| {
            [Flip::AllowToDeny, Flip::NowErroring].map(|flip| u64::try_from(answers.count(flip).1).unwrap_or(u64::MAX)).iter().sum::<u64>()
        };
        let asked = [self.matrix, self.tests].into_iter().flatten().map(lost);
        let logged = self.log.map_or(0, |(_, tally)| tally.flips(Flip::AllowToDeny).saturating_add(tally.flips(Flip::NowErroring)));
        asked.fold(logged, u64::saturating_add)
    }

    /// How many flips are approved.
    fn approved(&self) -> u64 {
        let approved = |answers: &Answers| answers.changes.iter().filter(|change| change.approved.is_some()).count();
        let asked = [self.matrix, self.tests].into_iter().flatten().map(approved);
        let logged = self.log.map_or(0, |(_, tally)| tally.meant);
        asked.fold(logged, |sum, number| sum.saturating_add(u64::try_from(number).unwrap_or(u64::MAX)))
    }

    pub(super) fn json(&self) -> Value {
        let side = |(name, digest): &(String, Digest)| json!({ "name": name, "policy_digest": digest.to_string() });
        let [old, new] = self.names;
        let found = |found: &Found| match found {
            Ok(answers) => answers.json(),
            Err(why) => json!({ "not_asked": why }),
        };
        json!({
            "old": side(old), "new": side(new), "policies": self.policies.json(),
            "files": self.files.iter().map(files::Changed::json).collect::<Vec<_>>(),
            "matrix": found(self.matrix), "tests": found(self.tests),
            "log": self.log.map(|(input, tally)| tally.json(input, Some(&new.1.to_string()))),
            "proofs": self.proofs.map(|proofs| match proofs {
                Ok(kinds) => json!({ "kinds": kinds.iter().map(super::Comparison::json).collect::<Vec<_>>() }),
                Err(why) => json!({ "not_run": why }),
            }),
            "widened": self.widened(), "narrowed": self.narrowed(), "approved": self.approved(),
        })
    }

    pub(super) fn human(&self) -> String {
        let mut text = String::new();
        self.written(&mut text);
        answers("matrix", "answer", self.matrix, &mut text);
        answers("tests", "question", self.tests, &mut text);
        if let Some((input, tally)) = self.log {
            title("decision logs", "", &mut text);
            text.push_str(&indented(&tally.human(input, "asked of both")));
        }
        match self.proofs {
            None => {}
            Some(Err(_)) => title("proofs", "not run", &mut text),
            Some(Ok(kinds)) => proofs(kinds, &mut text),
        }
        text.push('\n');
        text.push_str(&self.summary());
        text
    }

    /// Policies and files.
    fn written(&self, text: &mut String) {
        let Policies { added, removed, changed, same } = self.policies;
        let counts = if self.policies.is_same() {
            format!("all {same} say the same")
        } else {
            format!("{} changed, {} added, {} removed, {same} the same", changed.len(), added.len(), removed.len())
        };
        title("policies", &counts, text);
        let line = |mark: &str, one: &One| {
            let reason = one.reason.as_deref().map(|reason| format!(": {}", one_line(reason))).unwrap_or_default();
            format!("  {mark} {} {}{reason}\n", effect(one.permits), one_line(&one.id))
        };
        for one in added {
            text.push_str(&line("\x1b[32m+\x1b[0m", one));
            one.clauses.iter().for_each(|clause| text.push_str(&format!("      + {}\n", one_line(clause))));
        }
        for one in removed {
            text.push_str(&line("\x1b[31m-\x1b[0m", one));
        }
        for changed in changed {
            text.push_str(&line("\x1b[33m~\x1b[0m", &changed.one));
            text.push_str(&details(changed));
        }
        if !self.files.is_empty() {
            title("other files", &format!("{} changed", self.files.len()), text);
        }
        for files::Changed { file, how, details } in self.files {
            let mark = match how {
                How::Added => "\x1b[32m+\x1b[0m",
                How::Removed => "\x1b[31m-\x1b[0m",
                How::Changed => "\x1b[33m~\x1b[0m",
            };
            let _ = writeln!(text, "  {mark} {}", one_line(file));
            details.iter().for_each(|detail| text.push_str(&format!("      {}\n", one_line(detail))));
        }
    }

    /// The last lines: whether anybody gains or loses.
    fn summary(&self) -> String {
        let (widened, narrowed, approved) = (self.widened(), self.narrowed(), self.approved());
        let meant = if approved == 0 { String::new() } else { format!(", besides {approved} that are approved") };
        let lost = match narrowed {
            0 => "nobody loses anything".to_owned(),
            number => format!("{number} {} less than before", if number == 1 { "answer gives" } else { "answers give" }),
        };
        match widened {
            0 if self.proofs.is_some() && (self.kinds().next().is_none() || self.kinds().any(|one| one.relation == Relation::Unknown)) => {
                format!("\x1b[1;31mnot proved\x1b[0m: nobody who was asked gains anything{meant}; {lost}\n")
            }
            0 => format!("\x1b[1;32mok\x1b[0m: nobody gains anything{meant}; {lost}\n"),
            1 => format!("\x1b[1;31mwider\x1b[0m: 1 answer allows what was denied{meant}; {lost}\n"),
            number => format!("\x1b[1;31mwider\x1b[0m: {number} answers allow what was denied{meant}; {lost}\n"),
        }
    }
}

fn title(what: &str, counts: &str, text: &mut String) {
    let space = if text.is_empty() { "" } else { "\n" };
    let counts = if counts.is_empty() { String::new() } else { format!(": {counts}") };
    let _ = writeln!(text, "{space}\x1b[1m{what}\x1b[0m{counts}");
}

fn details(changed: &Changed) -> String {
    let Changed { one, turned, lost, gained, annotations } = changed;
    let mut lines = vec![];
    if *turned {
        lines.push(format!("was a {}", effect(!one.permits)));
    }
    lines.extend(lost.iter().map(|clause| format!("- {clause}")));
    lines.extend(gained.iter().map(|clause| format!("+ {clause}")));
    for (name, old, new) in annotations {
        let shown = |value: &Option<String>| value.as_ref().map_or("nothing".to_owned(), |value| format!("\"{value}\""));
        lines.push(format!("@{name}: {} → {}", shown(old), shown(new)));
    }
    if lines.is_empty() {
        lines.push("the same clauses in another form".to_owned());
    }
    lines.iter().map(|line| format!("      {}\n", one_line(line))).collect()
}

fn answers(what: &str, noun: &str, found: &Found, text: &mut String) {
    let answers = match found {
        Ok(answers) => answers,
        Err(why) => return title(what, &format!("not asked, {}", one_line(why)), text),
    };
    let asked = count(answers.asked, noun);
    if answers.changes.is_empty() {
        return title(what, &format!("{asked}, all as before"), text);
    }
    let of = |flip| answers.count(flip).0;
    let counts = format!(
        "{asked}, {} allowed that was denied, {} denied that was allowed, {} otherwise",
        of(Flip::DenyToAllow),
        of(Flip::AllowToDeny).saturating_add(of(Flip::NowErroring)),
        answers.changes.iter().filter(|change| change.flip.is_none()).count()
    );
    title(what, &counts, text);
    // What somebody gains first: that is what a reviewer must not miss.
    let rank = |flip: Option<Flip>| match flip {
        Some(Flip::DenyToAllow) => 0_u8,
        Some(Flip::NowErroring) => 1,
        Some(Flip::AllowToDeny) => 2,
        None => 3,
    };
    let mut sorted: Vec<_> = answers.changes.iter().collect();
    sorted.sort_by_key(|change| (change.approved.is_some(), rank(change.flip)));
    for change in sorted.iter().take(LISTED) {
        let mark = match (change.flip, change.approved) {
            (_, Some(_)) => "approved: ",
            (Some(Flip::DenyToAllow), None) => "\x1b[31m+\x1b[0m ",
            (Some(_), None) => "\x1b[33m-\x1b[0m ",
            (None, None) => "  ",
        };
        let _ = writeln!(text, "  {mark}{}", one_line(&change.sentence));
    }
    let more = sorted.len().saturating_sub(LISTED);
    if more > 0 {
        let _ = writeln!(text, "    … and {more} more; `--format json` has all");
    }
}

/// Kinds of request of which something is to be told, those that gain first.
fn proofs(kinds: &[super::Comparison], text: &mut String) {
    let of = |relation: Relation| kinds.iter().filter(|one| one.relation == relation).count();
    let relations = [Relation::Looser, Relation::Incomparable, Relation::Stricter, Relation::Equivalent, Relation::Unknown];
    let counts: Vec<String> = relations
        .into_iter()
        .filter(|relation| of(*relation) > 0)
        .map(|relation| format!("{} {}", of(relation), relation.as_str()))
        .collect();
    title("proofs", &format!("{} kinds of request, {}", kinds.len(), counts.join(", ")), text);
    let mut told: Vec<_> = kinds.iter().filter(|one| one.relation != Relation::Equivalent).collect();
    told.sort_by_key(|one| (!one.widens(), one.relation));
    for (index, one) in told.iter().enumerate() {
        let approved = if one.approved { ", approved" } else { "" };
        let because = one.because.as_ref().map(|why| format!(": {}", one_line(why))).unwrap_or_default();
        let _ = writeln!(text, "  {}{approved}: {}{because}", one.relation.as_str(), one_line(&one.kind));
        if index >= EXAMPLES {
            continue;
        }
        for (what, example) in [("allowed now", &one.gained), ("allowed before", &one.lost)] {
            if let Some(example) = example {
                let _ = writeln!(text, "    {what}");
                text.push_str(&prove::example(example, "      "));
            }
        }
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("  {line}\n") }).collect()
}

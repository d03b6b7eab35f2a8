//! The policy author's commands, on sets of policies that grow.
//!
//! The very command is run, in a folder with the sample policies, their tests and so many policies more: a permit for a group below a path of its
//! own. Seconds from start to end, the smallest of the runs: everything else on the machine only adds to it. `diff` compares with a copy in which one
//! policy is another.

use std::fmt::Write as _;
use std::time::Instant;

use super::support::process::{Project, copy};

/// How many policies are added.
const SIZES: [usize; 4] = [10, 100, 1_000, 10_000];
/// Policies in one file.
const FILE: usize = 500;
/// Runs of each command; of the largest set one.
const RUNS: usize = 3;

pub fn measure() {
    println!("## The author's commands (seconds; 27 sample policies and so many more)\n");
    println!("{:>8} {:>8} {:>8} {:>8} {:>8}", "policies", "check", "test", "seal", "diff");
    for size in SIZES {
        let project = project(size);
        let runs = if size < 10_000 { RUNS } else { 1 };
        let seconds = |args: &[&str], code: i32| {
            let one = || {
                let start = Instant::now();
                let ended = project.run(args);
                assert_eq!(ended.code, Some(code), "{ended:?}");
                start.elapsed().as_secs_f64()
            };
            (0..runs).map(|_| one()).fold(f64::INFINITY, f64::min)
        };
        // The last policy of the copy is for another group: nobody who is asked gains anything.
        let times = [seconds(&["check"], 0), seconds(&["test"], 0), seconds(&["seal"], 0), seconds(&["diff", "old", "policies"], 0)];
        println!("{size:8} {:8.2} {:8.2} {:8.2} {:8.2}", times[0], times[1], times[2], times[3]);
    }
    println!();
}

fn project(size: usize) -> Project {
    let project = Project::new();
    let numbers: Vec<usize> = (0..size).collect();
    for (index, numbers) in numbers.chunks(FILE).enumerate() {
        let mut text = String::new();
        for number in numbers {
            let _ = writeln!(
                text,
                "@id(\"generated.{number}\")\n@reason(\"team {number} reads what is its own\")\npermit (\n  principal in Gate::Group::\"team-{number}\",\n  \
                 action in Gate::Action::\"read\",\n  resource in Gate::Path::\"/teams/{number}\"\n)\nwhen {{ context.hour >= 6 }};\n"
            );
        }
        project.write(&format!("policies/generated-{index}.cedar"), &text);
    }
    copy(&project.path("policies"), &project.path("old"));
    project.edit("old/generated-0.cedar", "Gate::Group::\"team-0\"", "Gate::Group::\"team-x\"");
    project
}

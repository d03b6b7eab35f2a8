//! The policies that documentation shows are ones a gate takes.

use super::{load, with_policies};

#[test]
fn every_policy_in_the_documentation_loads() {
    let page = include_str!("../../../docs/policies.md");
    let mut policies: Vec<String> = vec![];
    for line in page.lines() {
        match line.strip_prefix("    ") {
            Some(line) if line.starts_with("@id(") => policies.push(format!("{line}\n")),
            // A block goes on until its policy ends.
            Some(line) => {
                if let Some(policy) = policies.last_mut().filter(|policy| !policy.trim_end().ends_with(';')) {
                    policy.push_str(line);
                    policy.push('\n');
                }
            }
            None => {}
        }
    }
    assert!(policies.len() >= 9, "{policies:#?}");
    for policy in policies {
        load(&with_policies(&policy));
    }
}

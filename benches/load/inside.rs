//! What can only be seen from inside the host: memory, and sizes.

use cedargate::host::InstanceLimits;

use super::Bench;
use super::drive::Requests;
use super::material::{self, ALGORITHMS, For, POLICIES, distinct};
use super::report::Report;
use super::support::gate::{Setup, sealed};
use super::support::origin::Origin;

/// More tokens than an instance remembers.
const TOKENS: usize = 6_000;

pub fn measure(bench: &Bench, report: &mut Report) {
    report.component = Some(sealed(&material::bundle(POLICIES, For::Teams)).len());
    let origin = Origin::start(([127, 0, 0, 1], 0).into());
    // One instance for all of them.
    let limits = InstanceLimits { max_reuse: usize::MAX, ..InstanceLimits::default() };
    for number in [POLICIES, 1_000] {
        let mut setup = Setup { now: None, ..Setup::new(&material::bundle(number, For::Teams)) };
        setup.limits = limits.clone();
        let gate = setup.variable("key_value_store", "").start(&origin);
        let requests = Requests::new(distinct("DELETE", ALGORITHMS[0], TOKENS, |token| token), 403);
        drop(bench.driver.closed(gate.addr, &requests, 4, std::time::Duration::from_secs(8)));
        report.memory.push((number, gate.metrics().peak_instance_memory));
    }
}

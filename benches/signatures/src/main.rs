//! Prepared keys beside `ring`, natively or in wasm: how long a verification takes, and whether the answers are the same.
//!
//!     signatures measure            one line for each kind of key: name, µs with ring, µs prepared, µs for preparing, bytes
//!     signatures soak COUNT SEED    COUNT signatures, made and spoilt at random; the first difference ends it with status 1

#[path = "../../../src/identity/prepared/mod.rs"]
#[allow(dead_code, reason = "the gate uses all of it")]
mod prepared;

mod keys;
mod random;
mod soak;

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

use keys::Pair;
use random::Random;

/// How often each is measured. The fastest counts: whatever else the machine does only adds to it.
const ROUNDS: usize = 40;
/// Verifications of one measurement.
const REPEAT: u32 = 4;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).and_then(|text| text.parse::<u64>().ok());
    match arguments.first().map(String::as_str) {
        Some("measure") => measure(),
        Some("soak") => {
            let (Some(count), Some(seed)) = (number(1), number(2)) else { return usage() };
            return if soak::run(count, seed) { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
        _ => return usage(),
    }
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("signatures measure | soak COUNT SEED");
    ExitCode::from(2)
}

fn measure() {
    let mut random = Random::new(1);
    for pair in Pair::one_of_each(&mut random) {
        let message = b"a token's header and claims, of the usual few hundred bytes".repeat(8);
        let signature = pair.sign(&message);
        let prepared = pair.prepare();
        assert!(pair.by_ring(&message, &signature) && prepared.verify(&message, &signature), "a good signature");
        let (mut ring, mut ours, mut making) = (vec![], vec![], vec![]);
        // Interleaved, so that whatever else the machine does falls on all.
        for _ in 0..ROUNDS {
            ring.push(
                micros(|| {
                    for _ in 0..REPEAT {
                        black_box(pair.by_ring(black_box(&message), black_box(&signature)));
                    }
                }) / f64::from(REPEAT),
            );
            ours.push(
                micros(|| {
                    for _ in 0..REPEAT {
                        black_box(prepared.verify(black_box(&message), black_box(&signature)));
                    }
                }) / f64::from(REPEAT),
            );
            making.push(micros(|| drop(black_box(pair.prepare()))));
        }
        println!("{} {:.1} {:.1} {:.0} {}", pair.name(), fastest(ring), fastest(ours), fastest(making), pair.bytes());
    }
}

fn micros(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64() * 1e6
}

fn fastest(values: Vec<f64>) -> f64 {
    values.into_iter().fold(f64::INFINITY, f64::min)
}

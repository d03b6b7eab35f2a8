//! Many callers at once: nobody ever gets another's answer or record.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::support::client::Request;
use super::support::gate::gate;
use super::support::token::Token;

const THREADS: usize = 16;
const EACH: usize = 1_000;

#[test]
fn sixteen_callers_a_thousand_times_each_never_cross() {
    let gate = gate();
    let bad = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let bad = &bad;
            scope.spawn(move || {
                let name = format!("user{thread}");
                let token = Token::dev(gate.now(), &name).groups(&["readers"]).claim("jti", serde_json::json!(format!("t{thread}"))).make();
                for i in 0..EACH {
                    // Four kinds of request, mixed: allowed, denied by policy, no credential, refused credential.
                    let target = format!("/api/documents/1?n={thread}-{i}");
                    let request = match i % 4 {
                        0 | 1 => Request::get(&target).bearer(&token),
                        2 if i % 8 == 2 => Request::new("DELETE", &target).bearer(&token),
                        2 => Request::get(&target),
                        _ => Request::get(&target).bearer(&format!("{token}x")),
                    };
                    let response = request.send(gate.addr);
                    let expected = match i % 4 {
                        0 | 1 => 200,
                        2 if i % 8 == 2 => 403,
                        _ => 401,
                    };
                    let seen = gate.origin.seen(&request.id);
                    let right = response.status == expected
                        && if expected == 200 {
                            let body = response.json();
                            body["id"] == request.id.as_str()
                                && body["principal"] == format!("Gate::User::\"dev/{name}\"")
                                && seen.len() == 1
                                && seen[0].target == target
                        } else {
                            seen.is_empty()
                        };
                    let recorded = gate.record_of(&response).is_none_or(|record| {
                        record["status"] == expected
                            && match expected {
                                200 | 403 => {
                                    record["identity"]["subject"] == name.as_str() && record["identity"]["token_id"] == format!("t{thread}")
                                }
                                _ => record["identity"].is_null(),
                            }
                    });
                    if !(right && recorded) {
                        eprintln!("{name} {i}: {response:?} {seen:?} {:?}", gate.record_of(&response));
                        bad.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(bad.into_inner(), 0);
}

//! Who may do what: the sample policies as one table, in `policies/tests/matrix.txt`.
//!
//! `UPDATE=1 cargo test matrix` writes the file anew; its diff is what a reviewer reads.

use std::fmt::Write as _;
use std::path::Path;

use super::{Asking, WEDNESDAY, bundle, certificate, ids, load, token, user};
use crate::decision::UnixTime;
use crate::identity::{Identity, PrincipalKind};
use crate::policy::{Purpose, Signing, Verdict};

const FILE: &str = "policies/tests/matrix.txt";
const HEAD: &str = "\
# Identity × request → answer of the sample policies. Made and checked by the test `matrix`; review every change of it.
#
# anonymous   no token
# alice       user, owner of documents 1, 3, 4 and order 41; groups readers, writers; scopes documents.write, orders.write
# alice-ro    the same user with a token without scopes
# bob         user, owner of document 2 (confidential) and order 42; group readers; scope orders.write
# dana        user, no groups, named writer of document 2; scope documents.write
# carol       user, group admins
# carol-now   the same user, logged in a minute ago
# audrey      user, group night-auditors, which entities.json puts into auditors
# mallory     user, suspended; groups readers, writers, admins; all scopes
# indexer     workload; scope documents.read
# courier     workload named by its client certificate
# link        whoever uses a signed URL, as far as the link itself allows it
#
# Unless a line says otherwise it is Wednesday 10:00 UTC and the client is in the office (10.1.2.3).
# allow and deny are followed by the policies that decided, or by the scope or login that the caller is told to get.
";

pub(super) fn identities() -> Vec<(&'static str, Identity)> {
    let workload = {
        let mut token = token("indexer", &[], &["documents.read"]);
        token.kind = PrincipalKind::Workload;
        Identity::from(token)
    };
    let recent = {
        let mut token = token("carol", &["admins"], &[]);
        token.auth_time = Some(UnixTime(WEDNESDAY.0 - 60));
        Identity::from(token)
    };
    vec![
        ("anonymous", Identity::Anonymous),
        ("alice", user("alice", &["readers", "writers"], &["documents.write", "orders.write"])),
        ("alice-ro", user("alice", &["readers", "writers"], &[])),
        ("bob", user("bob", &["readers"], &["orders.write"])),
        ("dana", user("dana", &[], &["documents.write"])),
        ("carol", user("carol", &["admins"], &[])),
        ("carol-now", recent),
        ("audrey", user("audrey", &["night-auditors"], &[])),
        ("mallory", user("mallory", &["admins", "readers", "writers"], &["documents.read", "documents.write", "orders.write"])),
        ("indexer", workload),
        ("courier", Identity::from(certificate("spiffe://example.org/courier"))),
        ("link", Identity::SignedUrl { link: Box::new(crate::policy::context::sample_link()), certificate: None }),
    ]
}

fn requests() -> Vec<(&'static str, Asking)> {
    let plain = [
        "GET /",
        "GET /health",
        "POST /health",
        "GET /healthz",
        "GET /api/documents",
        "POST /api/documents",
        "GET /api/documents/1",
        "HEAD /api/documents/1",
        "PUT /api/documents/1",
        "DELETE /api/documents/1",
        "GET /api/documents/2",
        "PUT /api/documents/2",
        "GET /api/documents/3",
        "PUT /api/documents/4",
        "GET /api/documents/99",
        "GET /api/documents/1/comments",
        "GET /api/documents/2/comments",
        "GET /api/orders",
        "POST /api/orders",
        "GET /api/orders/41",
        "DELETE /api/orders/41",
        "POST /api/orders/42/refund",
        "GET /api/admin",
        "POST /api/admin/users",
        "GET /api/admin/audit",
        "GET /api/administrator",
    ];
    let mut requests: Vec<(&str, Asking)> = plain
        .into_iter()
        .map(|line| {
            let (method, path) = line.split_once(' ').unwrap();
            (line, Asking::new(method, path))
        })
        .collect();
    let revoke = || Asking::new("POST", "/.well-known/cedargate/revocations").purpose(Purpose::Revoke);
    let signing = |expires_in| Signing { expires_in, format: "cedargate", prefix: false, bound_to_address: false };
    let sign = |path: &str, expires_in| Asking::new("GET", path).purpose(Purpose::Sign(signing(expires_in)));
    let day = 86_400;
    let cancel = || Asking::new("DELETE", "/api/orders/41");
    requests.extend([
        ("revoke", revoke()),
        ("sign GET /api/documents/1 for an hour", sign("/api/documents/1", 3_600)),
        ("sign GET /api/documents/1 for two days", sign("/api/documents/1", 2 * day)),
        ("sign GET /api/documents/2 for an hour", sign("/api/documents/2", 3_600)),
        ("sign GET /media/42 for an hour", sign("/media/42", 3_600)),
        ("GET /media/42", Asking::new("GET", "/media/42")),
        ("sign GET /api/orders/41 for an hour", sign("/api/orders/41", 3_600)),
        ("GET /api/admin from 203.0.113.9", Asking::new("GET", "/api/admin").from(Some("203.0.113.9"))),
        ("GET /api/admin from ::ffff:192.168.1.9", Asking::new("GET", "/api/admin").from(Some("::ffff:192.168.1.9"))),
        ("GET /api/admin from ::1", Asking::new("GET", "/api/admin").from(Some("::1"))),
        ("GET /api/admin from an unknown address", Asking::new("GET", "/api/admin").from(None)),
        ("DELETE /api/orders/41 on Saturday", cancel().at(WEDNESDAY.0 + 3 * day)),
        ("POST /api/orders/42/refund on Sunday", Asking::new("POST", "/api/orders/42/refund").at(WEDNESDAY.0 + 4 * day)),
        ("DELETE /api/orders/41 at 07:59:59", cancel().at(WEDNESDAY.0 - 2 * 3_600 - 1)),
        ("DELETE /api/orders/41 at 18:00:00", cancel().at(WEDNESDAY.0 + 8 * 3_600)),
    ]);
    requests
}

fn answer(verdict: &Verdict) -> String {
    assert!(verdict.errors.is_empty(), "{:?}", verdict.errors);
    let mut answer = if verdict.allow { "allow".to_owned() } else { "deny ".to_owned() };
    if !verdict.determining.is_empty() {
        write!(answer, "  {}", ids(verdict).join(", ")).unwrap();
    }
    if !verdict.missing_scope.is_empty() {
        write!(answer, "  scope {}", verdict.missing_scope.join(" ")).unwrap();
    }
    if let Some(step_up) = &verdict.step_up {
        write!(answer, "  login").unwrap();
        step_up.acr_values.iter().for_each(|acr| write!(answer, " {acr}").unwrap());
        step_up.max_age.iter().for_each(|seconds| write!(answer, " {seconds}s ago").unwrap());
    }
    answer.trim_end().to_owned()
}

#[test]
fn the_sample_policies_decide_as_the_matrix_says() {
    let store = load(&bundle());
    let mut table = HEAD.to_owned();
    for (line, request) in requests() {
        write!(table, "\n{line}\n").unwrap();
        for (name, identity) in identities() {
            writeln!(table, "  {name:<10}{}", answer(&request.ask(&store, &identity))).unwrap();
        }
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &table).unwrap();
    }
    let golden = std::fs::read_to_string(&file).unwrap_or_default();
    let differs = golden.lines().zip(table.lines()).enumerate().find(|(_, (golden, now))| golden != now);
    assert!(golden == table, "{FILE} differs first at {differs:?}; run with UPDATE=1 and review the diff");
}

//! Who may speak for a client: terminators that prove themselves, in every form, and two real ones.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::mtls::{DAY, configured, origin, present};
use super::support::client::Request;
use super::support::gate::{Expect, Gate, NOW, Setup};
use super::support::pki::{Authority, Certified, Form, SECRET, SECRET_FIELD, Subject, escaped, xfcc_element};
use super::support::process::Project;
use super::support::terminator::{Files, Terminator, block, haproxy, nginx, placed};

const PREVIOUS: &str = "the-secret-before-this-one-0123456789";

fn client() -> Subject {
    Subject::workload(NOW, "client")
}

/// A gate of the suite's bundle with changes to `keys/mtls.toml`.
fn gate(changes: &[(&str, &str)]) -> Gate {
    Setup::new(&configured(changes)).start(&origin())
}

#[test]
fn only_a_terminator_that_proves_itself_is_believed() {
    let gate = gate(&[]);
    let leaf = client().issued_by(&Authority::suite());
    let untrusted = Expect::refused(401, "mtls.untrusted_terminator");
    let bare = || Form::Rfc9440.fields(&[&leaf.der]).into_iter().fold(Request::get("/machines"), |r, (name, value)| r.header(name, value));
    let with = |secret: &str| bare().header(SECRET_FIELD, secret);
    gate.check("control", &with(SECRET), &Expect::allowed());
    gate.check("no secret", &bare(), &untrusted);
    let (shorter, longer) = (&SECRET[1..], format!("{SECRET}x"));
    for (name, secret) in
        [("another", PREVIOUS), ("empty", ""), ("cut off", shorter), ("longer", &longer), ("other case", &SECRET.to_uppercase())]
    {
        gate.check(name, &with(secret), &untrusted);
    }
    // On a public path too: a forged certificate is not the same as none.
    let public = |request: Request| Request { target: "/health".into(), ..request };
    gate.check("a public path", &public(bare()), &untrusted);
    gate.check("without a certificate", &public(Request::get("/")), &Expect::allowed());
    gate.check("a secret without a certificate", &public(Request::get("/").header(SECRET_FIELD, SECRET)), &Expect::allowed());
    gate.check("two secrets, one of them right", &with(PREVIOUS).header(SECRET_FIELD, SECRET), &untrusted);

    // A deployment that has no secret believes nobody.
    let gate = Setup::new(&configured(&[])).variable("mtls_terminator_secret", "").start(&origin());
    gate.check("no secret is configured", &with(SECRET), &untrusted);
    gate.check("and none is sent", &bare(), &untrusted);
    gate.check("nor an empty one", &with(""), &untrusted);
}

#[test]
fn two_secrets_count_while_one_is_replaced() {
    let leaf = client().issued_by(&Authority::suite());
    let with = |secret: &str| {
        let fields = Form::Rfc9440.fields(&[&leaf.der]);
        fields.into_iter().fold(Request::get("/machines").header(SECRET_FIELD, secret), |r, (name, value)| r.header(name, value))
    };
    let gate = Setup::new(&configured(&[])).variable("mtls_terminator_secret_previous", PREVIOUS).start(&origin());
    gate.check("the new one", &with(SECRET), &Expect::allowed());
    gate.check("the one before", &with(PREVIOUS), &Expect::allowed());
    gate.check("a third", &with("some-other-secret-0123456789"), &Expect::refused(401, "mtls.untrusted_terminator"));
    let after = Setup::new(&configured(&[])).start(&origin());
    after.check("the one before, when it is over", &with(PREVIOUS), &Expect::refused(401, "mtls.untrusted_terminator"));
    // One that could be guessed stops everything rather than proving something.
    let short = Setup::new(&configured(&[])).variable("mtls_terminator_secret", "too short").start(&origin());
    short.check("a short secret", &with("too short"), &Expect::refused(503, "system.configuration"));
}

#[test]
fn an_address_proves_a_terminator_where_it_is_listed() {
    let leaf = client().issued_by(&Authority::suite());
    let bare = || Form::Rfc9440.fields(&[&leaf.der]).into_iter().fold(Request::get("/machines"), |r, (name, value)| r.header(name, value));
    let line = r#"secret_header = "x-terminator-secret""#;
    let here = gate(&[(line, r#"addresses = ["127.0.0.0/8", "::1/128"]"#)]);
    here.check("listed", &bare(), &Expect::allowed());
    let elsewhere = gate(&[(line, r#"addresses = ["192.0.2.0/24", "2001:db8::/32"]"#)]);
    let untrusted = Expect::refused(401, "mtls.untrusted_terminator");
    elsewhere.check("not listed", &bare(), &untrusted);
    elsewhere.check("a forged address", &bare().header("x-forwarded-for", "192.0.2.1"), &untrusted);
    // Both: each must hold.
    let both = gate(&[(line, "secret_header = \"x-terminator-secret\"\naddresses = [\"127.0.0.0/8\"]")]);
    both.check("listed, with the secret", &bare().header(SECRET_FIELD, SECRET), &Expect::allowed());
    both.check("listed, without it", &bare(), &untrusted);
    let neither = gate(&[(line, "secret_header = \"x-terminator-secret\"\naddresses = [\"192.0.2.0/24\"]")]);
    neither.check("the secret, from elsewhere", &bare().header(SECRET_FIELD, SECRET), &untrusted);
}

/// Every form, and the line that configures it.
fn forms() -> [(Form, &'static str); 5] {
    [
        (Form::Rfc9440, "form = \"rfc9440\""),
        (Form::Xfcc, "form = \"xfcc\""),
        (Form::Nginx, "form = \"nginx\""),
        (Form::Alb, "form = \"alb\""),
        (Form::Der("x-client-cert-der"), "form = \"der\"\nheader = \"x-client-cert-der\""),
    ]
}

#[test]
fn every_form_of_one_chain_has_one_verdict() {
    let suite = Authority::suite();
    let intermediate = suite.intermediate(Subject::new(NOW, "intermediate"));
    let stranger = Authority::root(Subject::new(NOW, "Suite root"));
    let leaf = client().issued_by(&suite).der;
    let below = client().issued_by(&intermediate).der;
    let expired = client().valid(NOW - 9 * DAY, NOW - DAY).issued_by(&suite).der;
    let forged = client().issued_by(&stranger).der;
    for (form, line) in forms() {
        let gate = gate(&[("form = \"rfc9440\"", line)]);
        let ask = |chain: &[&[u8]]| form.send(Request::get("/machines"), chain);
        let name = format!("{form:?}");
        let good = ask(&[&leaf]);
        let answer = gate.check(&name, &good, &Expect::allowed());
        // What came is not passed on, in whichever field it came.
        let seen = gate.origin.seen(&good.id).remove(0);
        assert_eq!(seen.header("cedargate-principal"), Some(r#"Gate::Workload::"spiffe://suite.example/client""#), "{name}");
        for (field, value) in form.fields(&[&leaf]) {
            assert!(seen.all(&field.to_lowercase()).is_empty(), "{name}: {field}");
            assert!(seen.headers.iter().all(|(_, v)| *v != value), "{name}: {field}");
        }
        answer.with_record(|record| {
            assert_eq!(record["certificate"]["fingerprint"], Certified::fingerprint_of(&leaf), "{name}: {record}");
        });
        gate.check(&name, &ask(&[&expired]), &Expect::refused(401, "mtls.expired"));
        gate.check(&name, &ask(&[&forged]), &Expect::refused(401, "mtls.chain"));
        // Forms that have a place for the rest of the chain use it.
        let whole = matches!(form, Form::Rfc9440 | Form::Xfcc | Form::Alb);
        let expect = if whole { Expect::allowed() } else { Expect::refused(401, "mtls.chain") };
        gate.check(&name, &ask(&[&below, &intermediate.certified.der]), &expect);
        let repeated = form.fields(&[&leaf]).into_iter().fold(ask(&[&leaf]), |request, (field, value)| request.header(field, value));
        gate.check(&name, &repeated, &Expect::refused(400, "request.certificate_repeated"));
        // The fields of all other forms are nobody's: stripped, and not looked at.
        for (other, _) in forms().into_iter().filter(|(other, _)| *other != form) {
            let request = other.fields(&[&forged]).into_iter().fold(ask(&[&leaf]), |request, (field, value)| request.header(field, value));
            gate.check(&format!("{name} beside {other:?}"), &request, &Expect::allowed());
        }
    }
}

#[test]
fn of_several_xfcc_elements_the_terminators_own_counts() {
    let gate = gate(&[("form = \"rfc9440\"", "form = \"xfcc\"")]);
    let suite = Authority::suite();
    let (one, other) = (client().issued_by(&suite), Subject::workload(NOW, "billing").issued_by(&suite));
    let forged = client().issued_by(&Authority::root(Subject::new(NOW, "Suite root")));
    let element = |certified: &Certified| xfcc_element(&[&certified.der]);
    let ask = |value: &str| Request::get("/machines").header(SECRET_FIELD, SECRET).header("x-forwarded-client-cert", value);
    for (first, last, name) in [(&other, &one, "client"), (&one, &other, "billing"), (&forged, &one, "client")] {
        let answer = gate.check(name, &ask(&format!("{},{}", element(first), element(last))), &Expect::allowed());
        answer.with_record(|record| {
            assert_eq!(record["cedar"]["principal"], format!(r#"Gate::Workload::"spiffe://suite.example/{name}""#));
        });
    }
    gate.check("a forged one at the end", &ask(&format!("{},{}", element(&one), element(&forged))), &Expect::refused(401, "mtls.chain"));
    let hash = format!("Hash={};Subject=\"CN=client\";URI=spiffe://suite.example/client", one.fingerprint());
    gate.check("what proves nothing", &ask(&hash), &Expect::refused(401, "mtls.malformed"));
    gate.check("at the end too", &ask(&format!("{},{hash}", element(&one))), &Expect::refused(401, "mtls.malformed"));
    // A comma inside quotes does not end an element.
    let quoted = format!("Subject=\"CN=a, Hash=00\";{}", element(&one));
    gate.check("a comma inside quotes", &ask(&quoted.replace(";Subject=\"CN=a \\\"quoted\\\", name;O=x\"", "")), &Expect::allowed());
    gate.check("a quote that does not end", &ask(&format!("{},Subject=\"x", element(&one))), &Expect::refused(401, "mtls.malformed"));
    // Envoy writes names without quotes: this one, of the client's own certificate, begins an element with somebody else's.
    let somebody = escaped(&other.pem(), "");
    let name = format!("spiffe://suite.example/client,Cert=\"{somebody}\"");
    let named = client().uri(&name).issued_by(&suite);
    let written = format!("By=x;Cert=\"{}\";URI={name}", escaped(&named.pem(), ""));
    gate.check("a name with a comma", &ask(&written), &Expect::refused(401, "mtls.malformed"));
    let same = format!("By=x;Cert=\"{}\";URI=spiffe://suite.example/client,Cert=\"{somebody}\"", escaped(&one.pem(), ""));
    gate.check("the same field, of a certificate without such a name", &ask(&same), &Expect::allowed());
}

/// What every terminator must do, asked from outside. `record` finds the record of a decision.
fn behaves(files: &Files, terminator: &Terminator, origin: &super::support::origin::Origin, field: &str, record: &dyn Fn(&str) -> Value) {
    let authority = |name: &str| Authority::root(Subject::new(NOW, name).valid(NOW - 2_000 * DAY, NOW + 4_000 * DAY));
    files.client("client", &files.suite);
    files.client("stranger", &authority("Another root")).client("impostor", &authority("Suite root"));
    let forged = Form::Rfc9440.fields(&[&Subject::workload(NOW, "billing").issued_by(&files.suite).der]).remove(0).1;
    let ask = |request: &Request, client: Option<&str>, status: u16| {
        let answered = terminator.curl(files, request, client);
        assert_eq!(answered.status, status, "{request:?} {client:?}: {answered:?}");
        assert_eq!(origin.seen(&request.id).len(), usize::from(status == 200), "{request:?}");
        record(&answered.decision)
    };
    let who = |request: &Request| origin.seen(&request.id)[0].header("cedargate-principal").unwrap().to_owned();

    let good = Request::get("/machines");
    ask(&good, Some("client"), 200);
    assert_eq!(who(&good), r#"Gate::Workload::"spiffe://suite.example/client""#);
    let seen = origin.seen(&good.id).remove(0);
    assert!(seen.headers.iter().all(|(_, value)| !value.contains("BEGIN") && !value.contains("MII") && value != SECRET), "{seen:?}");

    // Without a certificate a caller is nobody: what is public is allowed, the rest is not.
    let public = Request::get("/health");
    ask(&public, None, 200);
    assert_eq!(who(&public), r#"Gate::Anonymous::"anonymous""#);
    assert_eq!(ask(&Request::get("/machines"), None, 401)["reason"], "policy.no_permit");

    // One that the gate does not trust is refused by the gate, whatever the terminator thinks of it.
    assert_eq!(ask(&Request::get("/machines"), Some("stranger"), 401)["reason"], "mtls.chain");
    assert_eq!(ask(&Request::get("/health"), Some("stranger"), 401)["reason"], "mtls.chain");

    // One that borrows the name of a trusted authority: nginx forgives an unknown issuer only, and refuses it itself.
    let request = Request::get("/machines");
    let answered = terminator.curl(files, &request, Some("impostor"));
    assert!(origin.seen(&request.id).is_empty());
    match answered.decision.as_str() {
        "" => assert_eq!(answered.status, 400, "{answered:?}"),
        decision => assert_eq!((answered.status, &record(decision)["reason"]), (401, &Value::from("mtls.chain"))),
    }

    // What a client writes itself never counts: not without a certificate, not beside its own, in no spelling.
    for name in [field.to_owned(), field.to_uppercase(), field.replace('-', "_")] {
        let spoofed = |target: &str| Request::get(target).header(&name, &forged).header(SECRET_FIELD, "guessed-0123456789");
        let request = spoofed("/health");
        ask(&request, None, 200);
        assert_eq!(who(&request), r#"Gate::Anonymous::"anonymous""#, "{name}");
        ask(&spoofed("/machines"), None, 401);
        let request = spoofed("/machines");
        ask(&request, Some("client"), 200);
        assert_eq!(who(&request), r#"Gate::Workload::"spiffe://suite.example/client""#, "{name}");
    }
}

#[test]
fn nginx_in_front_of_the_command() {
    let files = Files::new();
    let origin = origin();
    let project = Project::new();
    std::fs::create_dir(project.path("keys/ca")).unwrap();
    project.write("keys/mtls.toml", &block("nginx", "toml"));
    std::fs::copy(files.path("client-ca.pem"), project.path("keys/ca/client-ca.pem")).unwrap();
    project.write("policies/suite-workloads.cedar", super::mtls::WORKLOADS);
    let mut command = project.command(&["up", "--listen", "127.0.0.1:0", "--now", "2027-01-13T10:00:00Z"]);
    command.args(["--origin", &format!("http://{}", origin.addr), "--records", "records.jsonl"]);
    command.env("SPIN_VARIABLE_MTLS_TERMINATOR_SECRET", SECRET);
    let up = super::support::process::Up::start(&mut command);
    let records = project.path("records.jsonl");
    let record = |decision: &str| recorded(&records, decision);

    let nginx = nginx(&files, up.addr);
    behaves(&files, &nginx, &origin, "ssl-client-cert", &record);

    // Around nginx nobody is believed: with a certificate that is good, and the secret not known.
    let leaf = client().issued_by(&files.suite);
    let forged = Form::Nginx.fields(&[&leaf.der]).into_iter().fold(Request::get("/machines"), |r, (name, value)| r.header(name, value));
    let response = forged.send(up.addr);
    assert_eq!((response.status, response.code().as_str()), (401, "invalid_certificate"));
    assert_eq!(record(response.header("cedargate-decision-id").unwrap())["reason"], "mtls.untrusted_terminator");
    assert!(origin.seen(&forged.id).is_empty());
    // The control is nginx itself, whose word is the secret.
    let control = forged.header(SECRET_FIELD, SECRET);
    assert_eq!(control.send(up.addr).status, 200);
    assert!(!std::fs::read_to_string(&records).unwrap().contains(SECRET));
}

/// The record of a decision in a file that is being written.
fn recorded(file: &Path, decision: &str) -> Value {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let found = text.split_inclusive('\n').filter(|line| line.ends_with('\n')).find(|line| line.contains(decision));
        match found {
            Some(line) => return serde_json::from_str(line).unwrap(),
            None if Instant::now() < deadline => std::thread::yield_now(),
            None => panic!("no record of {decision}"),
        }
    }
}

#[test]
fn haproxy_in_front_of_the_gate() {
    for der in [false, true] {
        let files = Files::new();
        let mut text = block("HAProxy", "toml");
        let lines = [
            "    http-request del-header ^client[-_]cert([-_]chain)?$ -m reg\n",
            "    http-request set-header Client-Cert \":%[ssl_c_der,base64]:\" if { ssl_c_used }\n",
        ];
        let with_chain = format!("{}\n", block("HAProxy", "haproxy-der"));
        let mut changes = vec![];
        if der {
            let configuration = "form = \"der\"\nheader = \"x-client-cert\"\nchain_header = \"x-client-chain\"";
            text = placed(text, &[("form = \"rfc9440\"", configuration)]);
            changes = vec![(lines[0], ""), (lines[1], with_chain.as_str())];
        }
        let mut bundle = configured(&[]);
        bundle.insert("keys/mtls.toml", text);
        bundle.insert("keys/ca/client-ca.pem", files.suite.certified.pem());
        let mut kept = cedargate::bundle::Bundle::default();
        for (path, bytes) in bundle.iter().filter(|(path, _)| !path.ends_with("/suite-root.pem")) {
            kept.insert(path, bytes);
        }
        let gate = Setup::new(&kept).start(&origin());
        let haproxy = haproxy(&files, gate.addr, &changes);
        let record = |decision: &str| {
            let find = |line: &String| line.contains(decision).then(|| serde_json::from_str(line).unwrap());
            let deadline = Instant::now() + Duration::from_secs(20);
            loop {
                match gate.lines().iter().find_map(find) {
                    Some(record) => return record,
                    None if Instant::now() < deadline => std::thread::yield_now(),
                    None => panic!("no record of {decision}"),
                }
            }
        };
        behaves(&files, &haproxy, &gate.origin, if der { "x-client-cert" } else { "client-cert" }, &record);
        let leaf = client().issued_by(&files.suite);
        if der {
            // curl presents all certificates of its file.
            let long = |subject: Subject| subject.valid(NOW - 2_000 * DAY, NOW + 4_000 * DAY);
            let intermediate = files.suite.intermediate(long(Subject::new(NOW, "intermediate")));
            let pem = files.client("below", &intermediate).path("below.pem");
            let alone = std::fs::read_to_string(&pem).unwrap();
            let ask = || haproxy.curl(&files, &Request::get("/machines"), Some("below"));
            let answered = ask();
            assert_eq!((answered.status, &record(&answered.decision)["reason"]), (401, &Value::from("mtls.chain")));
            files.write("below.pem", &format!("{alone}{}", intermediate.certified.pem()));
            assert_eq!(ask().status, 200);
        } else {
            gate.check("around HAProxy, with the secret", &present(&[&leaf.der]), &Expect::allowed());
            let forged = Form::Rfc9440.fields(&[&leaf.der]).into_iter().fold(Request::get("/machines"), |r, (n, v)| r.header(n, v));
            gate.check("around HAProxy, without it", &forged, &Expect::refused(401, "mtls.untrusted_terminator"));
        }
    }
}

#[test]
fn every_configuration_of_the_page_can_be_sealed() {
    for section in ["nginx", "HAProxy", "Envoy", "AWS Application Load Balancer", "Amazon CloudFront"] {
        let mut bundle = cedargate::bundle::Bundle::default();
        for (path, bytes) in configured(&[]).iter().filter(|(path, _)| !path.ends_with("/suite-root.pem")) {
            bundle.insert(path, bytes);
        }
        bundle.insert("keys/mtls.toml", block(section, "toml"));
        bundle.insert("keys/ca/client-ca.pem", Authority::suite().certified.pem());
        let gate = cedargate::bundle::Gate::load(&bundle);
        assert!(gate.is_ok(), "{section}: {:?}", gate.err());
        assert!(gate.unwrap().mtls().is_some(), "{section}");
    }
}

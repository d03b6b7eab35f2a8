//! URLs that other services verify: accepted by a real S3, made only after the same decision, and refused where the format
//! cannot say what was asked for.

use std::sync::OnceLock;

use cedargate::bundle::Bundle;
use serde_json::{Value, json};

use super::support::client::{Request, Response};
use super::support::gate::{Gate, Setup, root};
use super::support::links::{ask, hmac, keyring, origin, setup, with_links, writer};
use super::support::s3::S3Server;
use super::support::token::Token;

const ACCESS: &str = "AKIDSUITE";
const SECRET: &str = "suite-secret-key";

/// Real time: a real S3 looks at its own clock.
fn clock() -> i64 {
    i64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

/// A target for each service.
fn targets(s3: &S3Server) -> Bundle {
    let port = s3.addr.port();
    with_links(&format!(
        r#"
max_lifetime_seconds = 86400
[[target]]
service = "aws-sigv4"
path = "/media/s3"
credentials = "s3"
endpoint = "http://localhost:{port}"
region = "eu-central-1"
bucket = "suite-bucket"
style = "path"
key_prefix = "in/"

[[target]]
service = "aws-sigv4"
path = "/media/s3/hosted"
credentials = "s3"
endpoint = "http://localhost:{port}"
region = "eu-central-1"
bucket = "hosted-bucket"

[[target]]
service = "cloudfront"
path = "/media/cf"
credentials = "cf"
url = "https://d1.cloudfront.net/x"
cookie_domain = "example.com"

[[target]]
service = "google-cloud-cdn"
path = "/media"
credentials = "cdn"
url = "https://cdn.example.com/"

[[target]]
service = "google-media-cdn"
path = "/media"
credentials = "media"
url = "https://media.example.com"

[[target]]
service = "akamai"
path = "/media"
credentials = "edge"
url = "https://edge.example.com/v"
token_name = "hdnts"
"#
    ))
}

fn credentials() -> String {
    let pem = std::fs::read_to_string(root().join("tests/data/identity/test-only-rsa-2048-private.pem")).unwrap();
    json!({"v": 1, "credentials": {
        "s3": {"service": "aws-sigv4", "access_key_id": ACCESS, "secret_access_key": SECRET},
        "cf": {"service": "cloudfront", "key_pair_id": "K2JCJMDEHXQW5F", "private_key": pem},
        "cdn": {"service": "google-cloud-cdn", "key_name": "my-key", "key": "nZtRohdNF9m3cKM24IcK4w=="},
        "media": {"service": "google-media-cdn", "key_name": "my-key", "private_key": "BxwXXNjeGaoWqjr7GHEymRJkP4SaOC12dTGixk7Yr8I="},
        "edge": {"service": "akamai", "key": "52a152a152a152a152a152a152a1aabb"},
    }})
    .to_string()
}

struct World {
    s3: S3Server,
    gate: Gate,
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let s3 = S3Server::start(ACCESS, SECRET);
        let mut setup = setup(&targets(&s3)).variable("signed_url_credentials", &credentials());
        setup.now = None;
        let gate = setup.start(&origin());
        World { s3, gate }
    })
}

fn caller() -> Token {
    let now = clock();
    writer("alice").claim("iat", json!(now - 5)).claim("exp", json!(now + 600))
}

fn sign(item: &Value) -> Response {
    ask(&caller(), item).send(world().gate.addr)
}

fn item(format: &str, method: &str, path: &str) -> Value {
    json!({"method": method, "path": path, "expires_in": 600, "format": format})
}

fn url(item: &Value) -> String {
    let response = sign(item);
    assert_eq!(response.status, 200, "{item}: {response:?}");
    response.json()["items"][0]["url"].as_str().unwrap().to_owned()
}

/// Uses a URL at the S3 server as any client would.
fn at_s3(method: &str, url: &str, body: Option<&str>) -> Response {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, target) = rest.split_at(rest.find('/').unwrap());
    let mut request = Request::new(method, target).host(Some(host));
    if let Some(body) = body {
        request = request.body(body);
    }
    request.send(world().s3.addr)
}

#[test]
fn a_real_s3_accepts_what_was_signed_and_nothing_else() {
    let s3 = &world().s3;
    for (path, bucket, key) in [
        ("/media/s3/a.txt", "suite-bucket", "in/a.txt"),
        ("/media/s3/a%20b/c.txt", "suite-bucket", "in/a b/c.txt"),
        ("/media/s3/%C3%BC/%E2%82%AC.bin", "suite-bucket", "in/ü/€.bin"),
        ("/media/s3/x+y~z(1)", "suite-bucket", "in/x+y~z(1)"),
        ("/media/s3/hosted/deep/b.txt", "hosted-bucket", "deep/b.txt"),
    ] {
        let put = url(&item("aws-sigv4", "PUT", path));
        let response = at_s3("PUT", &put, Some("hello"));
        assert_eq!(response.status, 200, "{put}: {response:?}");
        assert_eq!(s3.object(bucket, key).as_deref(), Some(&b"hello"[..]), "{path}");
        let get = url(&item("aws-sigv4", "GET", path));
        let response = at_s3("GET", &get, None);
        assert_eq!((response.status, response.text().as_str()), (200, "hello"), "{get}");
        let head = url(&item("aws-sigv4", "HEAD", path));
        assert_eq!(at_s3("HEAD", &head, None).status, 200, "{head}");

        // Tampered with: another key, another method, another time, another signature.
        s3.put(bucket, &format!("{key}x"), b"other");
        let (before, after) = get.split_once('?').unwrap();
        for bad in [
            format!("{before}x?{after}"),
            get.replace("X-Amz-Expires=600", "X-Amz-Expires=601"),
            format!("{}{}", &get[..get.len() - 1], if get.ends_with('0') { '1' } else { '0' }),
        ] {
            let response = at_s3("GET", &bad, None);
            assert_eq!(response.status, 403, "{bad}: {response:?}");
        }
        assert_eq!(at_s3("PUT", &get, Some("evil")).status, 403, "{get}");
        assert_eq!(s3.object(bucket, key).as_deref(), Some(&b"hello"[..]), "{path}");
    }
    let get = url(&item("aws-sigv4", "GET", "/media/s3/a.txt?response-content-type=text%2Fplain"));
    let response = at_s3("GET", &get, None);
    assert_eq!((response.status, response.header("content-type")), (200, Some("text/plain")));
    // The sample lets no writer delete media.
    let delete = sign(&item("aws-sigv4", "DELETE", "/media/s3/a.txt"));
    assert_eq!((delete.status, delete.code().as_str()), (403, "forbidden"), "{delete:?}");
}

#[test]
fn a_presigned_url_that_is_over_is_refused_by_s3() {
    let s3 = &world().s3;
    s3.put("suite-bucket", "in/old.txt", b"old");
    // A gate whose clock is two hours behind signs for an hour.
    let past = clock() - 7200;
    let mut setup = setup(&targets(s3)).variable("signed_url_credentials", &credentials());
    setup.now = Some(past);
    let gate = setup.start(&origin());
    let token = writer("alice").claim("iat", json!(past)).claim("exp", json!(past + 600));
    let made = |seconds: i64| {
        let body = json!({"method": "GET", "path": "/media/s3/old.txt", "expires_in": seconds, "format": "aws-sigv4"});
        let response = ask(&token, &body).send(gate.addr);
        response.json()["items"][0]["url"].as_str().unwrap().to_owned()
    };
    assert_eq!(at_s3("GET", &made(3600), None).status, 403);
    // It began as long ago, and is not over.
    let response = at_s3("GET", &made(10_000), None);
    assert_eq!((response.status, response.text().as_str()), (200, "old"));
}

#[test]
fn every_format_is_made_after_the_same_decision() {
    for (format, path, prefix, expected) in [
        ("cloudfront-canned", "/media/cf/a.mp4", false, "https://d1.cloudfront.net/x/a.mp4?Expires="),
        ("cloudfront-canned", "/media/cf/a.mp4?b=c", false, "https://d1.cloudfront.net/x/a.mp4?b=c&Expires="),
        ("cloudfront-custom", "/media/cf/a.mp4", false, "https://d1.cloudfront.net/x/a.mp4?Policy="),
        ("cloudfront-custom", "/media/cf/v", true, "https://d1.cloudfront.net/x/v/?Policy="),
        ("google-cloud-cdn", "/media/v/a.ts", false, "https://cdn.example.com/v/a.ts?Expires="),
        ("google-cloud-cdn", "/media/v", true, "https://cdn.example.com/v/?URLPrefix=aHR0cHM6Ly9jZG4uZXhhbXBsZS5jb20vdi8=&Expires="),
        ("google-media-cdn", "/media/v/a.ts", false, "https://media.example.com/v/a.ts?Expires="),
        ("google-media-cdn", "/media/v", true, "https://media.example.com/v/?URLPrefix=aHR0cHM6Ly9tZWRpYS5leGFtcGxlLmNvbS92Lw==&"),
        ("akamai", "/media/a/1.mp4", false, "https://edge.example.com/v/a/1.mp4?hdnts=exp="),
        ("akamai", "/media/a", true, "https://edge.example.com/v/a/?hdnts=exp="),
    ] {
        let mut wanted = item(format, "GET", path);
        wanted["prefix"] = json!(prefix);
        let made = url(&wanted);
        assert!(made.starts_with(expected), "{format}: {made}");
        if format == "akamai" {
            assert_eq!(made.contains("~acl=/v/a/*~"), prefix, "{made}");
        }
        let denied =
            ask(&Token::dev(clock(), "bob").claim("exp", json!(clock() + 600)).groups(&["readers"]), &wanted).send(world().gate.addr);
        assert_eq!((denied.status, denied.code().as_str()), (403, "forbidden"), "{format}: {denied:?}");
        assert!(!denied.text().contains("Signature") && !denied.text().contains("hmac"), "{denied:?}");
    }
    let mut wanted = item("cloudfront-cookies", "GET", "/media/cf/v");
    wanted["prefix"] = json!(true);
    wanted["bind"] = json!({"cidr": "192.0.2.0/24"});
    wanted["not_before"] = json!(clock() + 10);
    let response = sign(&wanted);
    let told = response.json()["items"][0].clone();
    let mut names: Vec<_> = told["cookies"].as_object().unwrap().keys().cloned().collect();
    names.sort();
    assert_eq!(names, ["CloudFront-Key-Pair-Id", "CloudFront-Policy", "CloudFront-Signature"]);
    let set = response.all("set-cookie");
    assert!(
        set.len() == 3 && set.iter().all(|cookie| cookie.ends_with("; Path=/; Domain=example.com; Secure; HttpOnly; SameSite=Lax")),
        "{set:?}"
    );
    let policy = told["cookies"]["CloudFront-Policy"].as_str().unwrap().replace('-', "+").replace('_', "=").replace('~', "/");
    let policy = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, policy).unwrap();
    let policy: Value = serde_json::from_slice(&policy).unwrap();
    assert_eq!(policy["Statement"][0]["Resource"], "https://d1.cloudfront.net/x/v/*");
    assert_eq!(policy["Statement"][0]["Condition"]["IpAddress"]["AWS:SourceIp"], "192.0.2.0/24");
    let canned = sign(&item("cloudfront-canned-cookies", "GET", "/media/cf/v/1.mp4"));
    let mut names: Vec<_> = canned.json()["items"][0]["cookies"].as_object().unwrap().keys().cloned().collect();
    names.sort();
    assert_eq!(names, ["CloudFront-Expires", "CloudFront-Key-Pair-Id", "CloudFront-Signature"]);
    assert_eq!(canned.all("set-cookie").len(), 3);
    // What others verify is recorded as it was made, without what makes it count.
    let record = world().gate.record_of(&response).unwrap();
    assert_eq!(
        (&record["signing"][0]["format"], &record["signing"][0]["key_id"]),
        (&json!("cloudfront-cookies"), &json!("K2JCJMDEHXQW5F"))
    );
    assert!(!record.to_string().contains(told["cookies"]["CloudFront-Signature"].as_str().unwrap()));
}

#[test]
fn what_a_format_cannot_say_refuses_the_url() {
    let with = |format: &str, path: &str, change: Value| {
        let mut wanted = item(format, "GET", path);
        wanted.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        wanted
    };
    let (s3, cf, cdn) = ("/media/s3/a.txt", "/media/cf/a", "/media/a");
    let later = json!({"not_before": clock() + 10});
    let control = url(&item("aws-sigv4", "GET", s3));
    assert!(control.contains("X-Amz-Signature"));
    for (wanted, says) in [
        (with("aws-sigv4", s3, json!({"bind": {"ip": "192.0.2.1"}})), "cannot bind a URL to addresses"),
        (with("aws-sigv4", s3, json!({"bind": {"subject": "bob"}})), "cannot say who a URL is for"),
        (with("aws-sigv4", s3, later.clone()), "cannot say when a URL begins"),
        (with("aws-sigv4", "/media/s3/a", json!({"prefix": true})), "cannot grant what lies below a path"),
        (with("aws-sigv4", s3, json!({"method": ["GET", "PUT"]})), "for one method"),
        (item("aws-sigv4", "GET", "/media/s3/a.txt?acl"), "cannot be a parameter"),
        (item("aws-sigv4", "GET", "/media/s3/a.txt?X-Amz-Expires=9"), "cannot be a parameter"),
        (item("aws-sigv4", "GET", "/media/s3"), "names no object"),
        (item("aws-sigv4", "GET", cdn), "no target of `aws-sigv4` holds this path"),
        (item("cloudfront-canned", "PUT", cf), "for GET and HEAD only"),
        (with("cloudfront-canned", cf, json!({"bind": {"ip": "192.0.2.1"}})), "cannot bind a URL to addresses"),
        (item("cloudfront-custom", "GET", "/media/cf/a?b=c"), "cannot hold a query"),
        (item("cloudfront-canned", "GET", "/media/cf/a?Expires=99999999999"), "`Expires`"),
        (item("google-cloud-cdn", "GET", "/media/a?KeyName=x"), "`KeyName`"),
        (item("cloudfront-custom", "GET", "/media/cf/a*b"), "`*` in the address"),
        (item("cloudfront-custom", "GET", "/media/cf/a*"), "`*` in the address"),
        (item("cloudfront-cookies", "GET", "/media/cf/a*"), "`*` in the address"),
        (with("cloudfront-custom", "/media/cf/*", json!({"prefix": true})), "`*` in the address"),
        (with("google-cloud-cdn", cdn, later.clone()), "cannot say when a URL begins"),
        (with("google-media-cdn", cdn, json!({"bind": {"ip": "192.0.2.1"}})), "cannot bind a URL to addresses"),
        (with("google-cloud-cdn", "/media/a?x", json!({"prefix": true})), "a prefix has no query here"),
        (with("akamai", cdn, json!({"bind": {"cidr": "192.0.2.0/24"}})), "to one address"),
        (item("akamai", "GET", "/media/a~b"), "`~` in the address"),
        (item("cloudfront-canned", "GET", "/api/documents/1"), "no target of `cloudfront` holds this path"),
    ] {
        let response = sign(&wanted);
        let problem = response.json()["items"][0]["problem"].clone();
        assert_eq!((response.status, &problem["code"]), (400, &json!("sign.format")), "{wanted}: {response:?}");
        assert!(problem["detail"].as_str().unwrap().contains(says), "{wanted}: {problem}");
    }
    // A credential that is not there is the deployment's fault.
    let bare = Setup::new(&targets(&world().s3)).variable("signed_url_keys", &keyring(&[hmac("k", "active", 1)])).start(&origin());
    let response = ask(&writer("alice"), &item("aws-sigv4", "GET", s3)).send(bare.addr);
    assert_eq!((response.status, response.code().as_str()), (503, "unavailable"), "{response:?}");
    let faulty =
        Setup::new(&targets(&world().s3)).variable("signed_url_credentials", "{\"v\":1,\"credentials\":{\"s3\":{\"secret\":\"x1y\"}}}");
    let gate = faulty.start(&origin());
    let response = Request::get("/health").send(gate.addr);
    assert_eq!(response.status, 503);
    let record = gate.record_of(&response).unwrap();
    assert_eq!(record["reason"], "system.configuration");
    assert!(record["detail"].as_str().unwrap().contains("signed_url_credentials") && !record.to_string().contains("x1y"), "{record}");
}

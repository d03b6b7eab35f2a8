//! The five forms: what is read, what is refused, and that they agree.

use super::support::*;
use crate::bundle::Digest;
use crate::decision::Reason;
use crate::identity::mtls::Mtls;
use crate::limits;

/// A chain of one certificate.
fn one(der: &[u8]) -> [Vec<u8>; 1] {
    [der.to_vec()]
}

/// A gate for each form, with the fields that carry a chain in it.
fn forms(root: &Ca, chain: &[&[u8]]) -> Vec<(Mtls, Vec<(&'static str, String)>)> {
    let trust = |top: &str| trusting(&toml(top, "trust_domains = [\"example.org\"]"), &[&root.der]);
    let (leaf, rest) = chain.split_first().unwrap();
    let sequence = |der: &&[u8]| format!(":{}:", base64(der));
    let list = |each: &dyn Fn(&&[u8]) -> String| rest.iter().map(each).collect::<Vec<_>>().join(",");
    let envoy = |der: &[&[u8]]| escaped(&pem("CERTIFICATE", der), "");
    let nginx = |der: &&[u8]| escaped(&pem("CERTIFICATE", &[der]), "");
    let mut forms = vec![
        (trust("form = \"rfc9440\""), vec![("client-cert", sequence(leaf)), ("client-cert-chain", list(&sequence))]),
        (
            trust("form = \"xfcc\""),
            vec![(
                "x-forwarded-client-cert",
                format!(
                    "By=spiffe://example.org/proxy;Hash={};Cert=\"{}\";Chain=\"{}\";Subject=\"CN=a \\\"b\\\", c\";URI={ID};DNS=a;DNS=b",
                    Digest::of(leaf),
                    envoy(&[leaf]),
                    envoy(chain)
                ),
            )],
        ),
        (trust("form = \"xfcc\""), vec![("x-forwarded-client-cert", format!("Chain=\"{}\"", envoy(chain)))]),
        (trust("form = \"alb\""), vec![("x-amzn-mtls-clientcert", escaped(&pem("CERTIFICATE", chain), "+/="))]),
        (
            trust("form = \"nginx\"\nchain_header = \"x-client-chain\""),
            vec![("ssl-client-cert", nginx(leaf)), ("x-client-chain", list(&nginx))],
        ),
        (
            trust("form = \"der\"\nheader = \"x-client-cert\"\nchain_header = \"x-client-chain\""),
            vec![("x-client-cert", base64(leaf)), ("x-client-chain", list(&|der| base64(der)))],
        ),
        // HAProxy's `ssl_c_chain_der`.
        (
            trust("form = \"der\"\nheader = \"x-client-cert\"\nchain_header = \"x-client-chain\""),
            vec![("x-client-cert", base64(leaf)), ("x-client-chain", base64(&rest.concat()))],
        ),
    ];
    forms.iter_mut().for_each(|(_, fields)| fields.retain(|(_, value)| !value.is_empty()));
    forms
}

#[test]
fn every_form_of_one_chain_leads_to_one_verdict() {
    let root = Ca::root("root");
    let (middle, other) = (root.sub("middle", |_| {}), Ca::root("other"));
    let good = middle.leaf(|_| {});
    let expired = middle.leaf(|params| params.not_after = rcgen::date_time_ymd(2027, 1, 1));
    for chain_of in [
        vec![&good[..], &middle.der],
        vec![&good, &middle.der, &root.der],
        vec![&good],
        vec![&good, &other.der],
        vec![&expired, &middle.der],
        vec![&good[..20], &middle.der],
    ] {
        let mut verdicts = Vec::new();
        for (mtls, fields) in forms(&root, &chain_of) {
            let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let arrived = chain(arrive(&mtls, &fields));
            assert_eq!(arrived, chain_of.iter().map(|der| der.to_vec()).collect::<Vec<_>>(), "{fields:?}");
            let arrived: Vec<_> = arrived.iter().map(Vec::as_slice).collect();
            verdicts.push(verify(&mtls, &arrived));
        }
        assert_eq!(verdicts.len(), 7);
        assert!(verdicts.iter().all(|verdict| *verdict == verdicts[0]), "{verdicts:?}");
        assert_eq!(verdicts[0].is_ok(), chain_of[0] == good && chain_of.get(1).is_some_and(|der| *der == middle.der));
    }
}

#[test]
fn a_chain_that_repeats_the_certificate_is_the_same_chain() {
    let root = Ca::root("root");
    let middle = root.sub("middle", |_| {});
    let leaf = middle.leaf(|_| {});
    let mtls = trusting(&usual(), &[&root.der]);
    let sequence = |der: &[u8]| format!(":{}:", base64(der));
    let fields = [("client-cert", sequence(&leaf)), ("client-cert-chain", format!("{}, {}", sequence(&leaf), sequence(&middle.der)))];
    let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
    assert_eq!(chain(arrive(&mtls, &fields)), [leaf, middle.der]);
}

#[test]
fn structured_fields_are_read_strictly() {
    let mtls = trusting(&usual(), &[&Ca::root("root").der]);
    let read = |certificate: &str, lines: &[&str]| {
        let mut fields = vec![("client-cert", certificate)];
        fields.extend(lines.iter().map(|line| ("client-cert-chain", *line)));
        arrive(&mtls, &fields)
    };
    for good in [":AQID:", " :AQID:  ", ":AQIDBA==:"] {
        assert!(!chain(read(good, &[])).is_empty(), "{good}");
    }
    for bad in [
        "AQID",
        ":AQID",
        "AQID:",
        "::",
        ":",
        ": AQID:",
        ":AQID :",
        ":AQID:;a",
        ":AQID:;a=1",
        ":AQID:, :AQID:",
        ":AQID:,",
        ":AQID:x",
        "\"AQID\"",
        ":AQIDBA:",
        ":AQIDBA=:",
        ":AQIDBB==:",
        ":AQ-_:",
        ":AQ%2B:",
        ":AQ\tID:",
        "?1",
        "(:AQID:)",
        ":AQID:\t",
        "\t:AQID:",
    ] {
        assert_eq!(refused(read(bad, &[])), Reason::MtlsMalformed, "{bad:?}");
    }
    for (lines, count) in [
        (&[":BBBB:, :CCCC:"][..], 3),
        (&[":BBBB:,:CCCC:"], 3),
        (&[":BBBB: \t,\t :CCCC:"], 3),
        (&[":BBBB:", ":CCCC:"], 3),
        (&[":BBBB:", ":CCCC:, :DDDD:"], 4),
        (&[" :BBBB: "], 2),
        (&[""], 1),
        (&["", " "], 1),
        // An empty line is no member, wherever it stands.
        (&["", ":BBBB:"], 2),
    ] {
        assert_eq!(chain(read(":AQID:", lines)).len(), count, "{lines:?}");
    }
    for lines in
        [&[":BBBB:,"][..], &[",:BBBB:"], &[":BBBB:,,:CCCC:"], &[":BBBB: :CCCC:"], &[":BBBB:;a"], &["x"], &[":BBBB:", "x"], &[":BBBB:\t"]]
    {
        assert_eq!(refused(read(":AQID:", lines)), Reason::MtlsMalformed, "{lines:?}");
    }
}

#[test]
fn only_what_the_terminator_appended_counts_in_xfcc() {
    let mtls = trusting(&toml("form = \"xfcc\"", ""), &[&Ca::root("root").der]);
    let read = |value: &str| arrive(&mtls, &[("x-forwarded-client-cert", value)]);
    let cert = |bytes: &[u8]| escaped(&pem("CERTIFICATE", &[bytes]), "");
    let (one, two) = (cert(&[1; 40]), cert(&[2; 40]));
    let hash = Digest::of(&[1; 40]);
    for good in [
        format!("Cert=\"{one}\""),
        format!("cert=\"{one}\";HASH={hash}"),
        format!("Cert={one}"),
        format!("Cert=\"{two}\",Cert=\"{one}\""),
        format!("Cert=\"{two}\", Cert=\"{one}\""),
        format!("Hash=x;Cert=\"{two}\",By=a;Cert=\"{one}\";URI=a;URI=b"),
        format!("Subject=\"a,Cert=b;\\\"\",Subject=\"/C=US,O=\\\\\";Cert=\"{one}\""),
        format!("Cert=\"{one}\";Chain=\"{one}{two}\""),
        format!("Future=1;Cert=\"{one}\""),
    ] {
        assert_eq!(chain(read(&good))[0], [1; 40], "{good}");
    }
    for bad in [
        // A name and a digest prove nothing, and neither does what an element before says.
        "Subject=\"CN=admin\"".to_owned(),
        format!("Hash={hash};Subject=\"CN=admin\";URI={ID}"),
        format!("Cert=\"{one}\",Hash={hash}"),
        format!("Cert=\"{one}\";Cert=\"{one}\""),
        format!("Cert=\"{one}\";cert=\"{two}\""),
        format!("Cert=\"{one}\";Hash={hash};hash={hash}"),
        format!("Cert=\"{one}\";Subject=\"a\";Subject=\"b\""),
        format!("Cert=\"{one}\";Chain=\"{two}{one}\""),
        format!("Cert=\"{one}{two}\""),
        format!("Cert=\"{one}\";Hash={}", Digest::of(&[2; 40])),
        format!("Cert=\"{one}\";Hash="),
        "Cert=\"\"".to_owned(),
        "Cert=".to_owned(),
        format!("Cert=\"{one}"),
        format!("Cert=\"{one}\\"),
        format!("Cert=\"{one}\"x"),
        format!("Cert=\"{one}\";"),
        format!("Cert=\"{one}\","),
        format!(",Cert=\"{one}\""),
        format!(";Cert=\"{one}\""),
        format!("=\"{one}\""),
        format!("Ce rt=\"{one}\""),
        format!("Cert =\"{one}\""),
        format!("Subject=a b;Cert=\"{one}\""),
        format!("By=a\"b;Cert=\"{one}\""),
        // A client's open quote turns what the terminator appends inside out.
        format!("Cert=\"{two}\";By=\",By=a;Hash={hash};Cert=\"{one}\";Subject=\"CN=client\""),
        format!("Cert=\"{two}\";By=\",By=a;Hash={hash};Subject=\"CN=client\";Cert=\"{one}\""),
        format!("By=\",Cert=\"{one}\""),
        // Envoy writes URI and DNS names without quotes: these would be the client's own, out of its own certificate.
        format!("By=a;Hash=x;Cert=\"{two}\";URI=spiffe://a.example/b,Cert=\"{one}\""),
        format!("By=a;Hash=x;Cert=\"{two}\";URI=;DNS=a,By=a;Hash={hash};Cert=\"{one}\";uri=b"),
        format!("By=a;Hash=x;Cert=\"{two}\";URI=a;Cert=\"{one}\""),
        format!("By=a;Hash=x;Chain=\"{two}\";URI=a;Cert=\"{one}\""),
        format!("By=a;Hash={};URI=a;Cert=\"{one}\"", Digest::of(&[2; 40])),
        "garbage".to_owned(),
    ] {
        assert_eq!(refused(read(&bad)), Reason::MtlsMalformed, "{bad}");
    }
}

#[test]
fn escaped_pem_is_read_strictly_and_plus_is_no_space() {
    let nginx = trusting(&toml("form = \"nginx\"", ""), &[&Ca::root("root").der]);
    let alb = trusting(&toml("form = \"alb\"", ""), &[&Ca::root("root").der]);
    let leaf_only = trusting(&toml("form = \"alb\"\nheader = \"x-amzn-mtls-clientcert-leaf\"", ""), &[&Ca::root("root").der]);
    // Bytes whose base64 has `+` and `/`.
    let der = [0xfb, 0xef, 0xbe, 0xff, 0xff].repeat(20);
    let text = pem("CERTIFICATE", &[&der]);
    assert!(text.contains('+') && text.contains('/'));
    for value in [
        escaped(&text, ""),
        escaped(&text, "+/="),
        escaped(&text, "").to_lowercase().replace("-----begin%20certificate", "-----BEGIN%20CERTIFICATE"),
    ] {
        if value.contains("END") {
            assert_eq!(chain(arrive(&nginx, &[("ssl-client-cert", &value)])), one(&der));
            assert_eq!(chain(arrive(&alb, &[("x-amzn-mtls-clientcert", &value)])), one(&der));
            assert_eq!(chain(arrive(&leaf_only, &[("x-amzn-mtls-clientcert-leaf", &value)])), one(&der));
        }
    }
    for (what, changed) in [
        ("without the last line end", text.trim_end().to_owned()),
        ("with carriage returns", text.replace('\n', "\r\n")),
        ("in one line", format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", base64(&der))),
    ] {
        assert_eq!(chain(arrive(&nginx, &[("ssl-client-cert", &escaped(&changed, ""))])), one(&der), "{what}");
    }
    let twice = format!("{text}{text}");
    assert_eq!(chain(arrive(&alb, &[("x-amzn-mtls-clientcert", &escaped(&twice, "+/="))])).len(), 2);
    assert_eq!(refused(arrive(&nginx, &[("ssl-client-cert", &escaped(&twice, ""))])), Reason::MtlsMalformed);
    assert_eq!(refused(arrive(&leaf_only, &[("x-amzn-mtls-clientcert-leaf", &escaped(&twice, ""))])), Reason::MtlsMalformed);
    for changed in [
        text.replace("CERTIFICATE", "TRUSTED CERTIFICATE"),
        text.replace("CERTIFICATE", "X509 CERTIFICATE"),
        text.replace("CERTIFICATE", "PRIVATE KEY"),
        text.replacen("-----BEGIN", "----BEGIN", 1),
        text.replace("-----END", "\n-----END"),
        text.replace("\n-----END", "-----END"),
        text.replacen("-----\n", "-----", 1),
        text.replacen("-----\n", "-----\n\n", 1),
        text.replacen("-----\n", "-----\nkey: value\n\n", 1),
        text.replace('+', " "),
        text.replace('+', "-"),
        format!("{text}\n"),
        format!("{text}x"),
        format!(" {text}"),
        format!("subject=x\n{text}"),
        format!("{text}\n{text}"),
        text.replace("=\n", "\n"),
        text.replacen('\n', "\0", 1),
        "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n".to_owned(),
        "-----BEGIN CERTIFICATE-----\n\n-----END CERTIFICATE-----\n".to_owned(),
        "-----BEGIN CERTIFICATE-----".to_owned(),
    ] {
        if changed == text {
            continue;
        }
        assert_eq!(refused(arrive(&alb, &[("x-amzn-mtls-clientcert", &escaped(&changed, ""))])), Reason::MtlsMalformed, "{changed:?}");
    }
    let good = escaped(&text, "");
    for bad in [
        good.replacen("%20", "+", 1),
        good.replacen("%20", "%2", 1),
        good.replacen("%20", "%+20", 1),
        good.replacen("%20", "%2520", 1),
        good.replacen("%20", "%zz", 1),
        good.replacen("%0A", "%C3%8A", 1),
        format!("{good}%"),
        format!("{good}%2"),
        escaped(&good, ""),
        base64(&der),
    ] {
        assert_eq!(refused(arrive(&alb, &[("x-amzn-mtls-clientcert", &bad)])), Reason::MtlsMalformed, "{bad}");
    }
}

#[test]
fn plain_der_is_canonical_base64() {
    let top = "form = \"der\"\nheader = \"x-client-cert\"\nchain_header = \"x-client-chain\"";
    let mtls = trusting(&toml(top, ""), &[&Ca::root("root").der]);
    let read = |certificate: &str, rest: &str| arrive(&mtls, &[("x-client-cert", certificate), ("x-client-chain", rest)]);
    let (one, two, long) = ([0x30, 1, 7], [0x30, 2, 8, 9], [&[0x30, 0x81, 0x80][..], &[1; 128]].concat());
    let longer = [&[0x30, 0x82, 1, 0][..], &[1; 256]].concat();
    assert_eq!(chain(read("AQID", "")).len(), 1);
    assert_eq!(chain(read("AQID", &base64(&[&one[..], &two, &long, &longer].concat()))), [&[1, 2, 3][..], &one, &two, &long, &longer]);
    assert_eq!(chain(read("AQID", &format!("{}, {}", base64(&one), base64(&two)))).len(), 3);
    for bad in [":AQID:", "AQI", "AQIDBA", "AQIDBB==", "AQ_-", "AQID AQID", "AQID,AQID", "%41QID", "-----BEGIN CERTIFICATE-----"] {
        assert_eq!(refused(read(bad, "")), Reason::MtlsMalformed, "{bad}");
    }
    for bad in
        [&one[..2], &[0x30], &[0x31, 1, 7], &[0x30, 0x80, 0, 0], &[0x30, 0x81, 1, 7], &[0x30, 0x82, 0, 1, 7], &[0x30, 0x83, 0, 0, 1, 7]]
    {
        assert_eq!(refused(read("AQID", &base64(bad))), Reason::MtlsMalformed, "{bad:?}");
    }
    for bad in [",", "AQID,", "x"] {
        assert_eq!(refused(read("AQID", bad)), Reason::MtlsMalformed, "{bad}");
    }
}

#[test]
fn chains_are_bounded() {
    let mtls = trusting(&usual(), &[&Ca::root("root").der]);
    let sequence = |length: usize| format!(":{}:", base64(&vec![7; length]));
    let read = |first: &str, lines: &[String]| {
        let mut fields = vec![("client-cert", first)];
        fields.extend(lines.iter().map(|line| ("client-cert-chain", line.as_str())));
        arrive(&mtls, &fields)
    };
    let most = limits::CERTIFICATE_BYTES;
    assert_eq!(chain(read(&sequence(most), &[]))[0].len(), most);
    assert_eq!(refused(read(&sequence(most + 1), &[])), Reason::MtlsTooLarge);
    assert_eq!(refused(read(&sequence(most + 1000), &[])), Reason::MtlsTooLarge);
    let short: Vec<_> = (1..limits::CHAIN_CERTIFICATES).map(sequence).collect();
    assert_eq!(chain(read(&sequence(100), &short)).len(), limits::CHAIN_CERTIFICATES);
    assert_eq!(refused(read(&sequence(100), &[&short[..], &[sequence(99)]].concat())), Reason::MtlsTooLarge);
    let three: Vec<_> = (1..=3).map(|index| sequence(most - index)).collect();
    assert_eq!(chain(read(&sequence(6), &three)).len(), 4);
    assert_eq!(refused(read(&sequence(7), &three)), Reason::MtlsTooLarge);
}

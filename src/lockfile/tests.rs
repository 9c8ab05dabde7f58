use proptest::prelude::*;

use super::*;

const HEADER: &str = r#"{"type":"Lockfile","version":1}"#;

fn pin(platform: &str, name: &str, version: &str) -> Pin {
    Pin {
        platform: platform.to_owned(),
        name: name.to_owned(),
        binprovider: ProviderName::from_static("pip"),
        version: version.to_owned(),
        package_version: String::new(),
        sha256: "a".repeat(64),
        url: String::new(),
        url_sha256: String::new(),
        hook_sha256: "0".repeat(64),
        overrides_sha256: String::new(),
    }
}

fn line(platform: &str, name: &str) -> String {
    pin(platform, name, "1.0").to_record().to_string()
}

fn error(lines: &[&str]) -> LockfileError {
    let text = std::iter::once(HEADER).chain(lines.iter().copied()).collect::<Vec<_>>().join("\n");
    Lockfile::parse(text.as_bytes()).unwrap_err()
}

#[test]
fn lines_are_sorted_and_their_keys_have_a_fixed_order() {
    let mut lockfile = Lockfile::default();
    for (platform, name) in [("x86_64-linux", "rg"), ("x86_64-linux", "jq"), ("aarch64-macos", "rg")] {
        lockfile.insert(pin(platform, name, "1.0")).unwrap();
    }
    let expected = [
        HEADER.to_owned(),
        line("aarch64-macos", "rg"),
        line("x86_64-linux", "jq"),
        line("x86_64-linux", "rg"),
    ];
    assert_eq!(lockfile.to_string(), expected.join("\n") + "\n");
    let keys = r#"{"type":"Lock","platform":"x86_64-linux","name":"jq","binprovider":"pip","version":"1.0","#;
    assert!(lockfile.to_string().contains(keys), "{lockfile}");
}

#[test]
fn changes_and_prunes_only_pins_of_the_given_platform() {
    let mut lockfile = Lockfile::default();
    for platform in ["x86_64-linux", "aarch64-macos"] {
        lockfile.insert(pin(platform, "rg", "1.0")).unwrap();
    }
    let before = lockfile.insert(pin("x86_64-linux", "rg", "2.0")).unwrap();
    assert_eq!(before.unwrap().version, "1.0");
    assert_eq!(lockfile.get("aarch64-macos", "rg").unwrap().version, "1.0");
    assert_eq!(lockfile.prune("x86_64-linux", |name| name == "jq").len(), 1);
    assert_eq!(lockfile.get("x86_64-linux", "rg"), None);
    assert!(lockfile.get("aarch64-macos", "rg").is_some());
}

#[test]
fn accepts_lines_in_any_order_and_blank_lines() {
    let text = format!("{HEADER}\n{}\n\n{}", line("x86_64-linux", "b"), line("x86_64-linux", "a"));
    let lockfile = Lockfile::parse(text.as_bytes()).unwrap();
    assert!(lockfile.get("x86_64-linux", "a").is_some() && lockfile.get("x86_64-linux", "b").is_some());
}

#[test]
fn reports_a_newer_format_even_if_the_line_has_unknown_fields() {
    let newer = br#"{"type":"Lockfile","version":2,"made_by":"rigup 9"}"#;
    assert_eq!(Lockfile::parse(newer), Err(LockfileError::Newer(2)));
    for bad in ["", "\n", "{}", "rg 13.0", r#"{"type":"Lockfile"}"#, r#"{"type":"Lockfile","version":"1"}"#] {
        assert_eq!(Lockfile::parse(bad.as_bytes()), Err(LockfileError::NoHeader), "{bad}");
    }
    let unknown = Lockfile::parse(br#"{"type":"Lockfile","version":1,"x":1}"#).unwrap_err();
    assert_eq!(unknown.line(), Some(1));
    assert!(unknown.to_string().starts_with("unknown field `x`"), "{unknown}");
}

#[test]
fn reports_the_line_of_every_error() {
    let good = line("x86_64-linux", "rg");
    let with = |from: &str, to: &str| good.replace(from, to);
    for (bad, expected) in [
        ("rg 13.0".to_owned(), "expected value"),
        (with("}", r#","added_at":"today"}"#), "unknown field `added_at`, expected one of"),
        (with("}", r#","name":"rg"}"#), "repeated key at column"),
        (with(r#""1.0""#, "1.0"), "invalid type: floating point"),
        (with(r#""version":"1.0","#, ""), "missing field `version`"),
        (with(r#""Lock""#, r#""Binary""#), "unknown variant `Binary`"),
        (with("aaaa", "AAAA"), "\"sha256\" must be 64 lower-case hex digits"),
        (with("0000", ""), "\"hook_sha256\" must be 64 lower-case hex digits"),
        (with("x86_64-linux", "linux"), "the platform \"linux\" is not of the form"),
        (with(r#""rg""#, r#""../rg""#), "the name `../rg` contains a `/`"),
        (with(r#""rg""#, r#"" rg""#), "the name begins or ends with whitespace"),
        (with(r#""pip""#, r#""pip,npm""#), "\"pip,npm\" is not a plugin name"),
        (with("1.0", "1.0\\n2"), "the version \"1.0\\n2\" contains a control character"),
        (good.clone() + "\r", "ends in CR LF"),
        (good.clone() + &good, "trailing characters"),
        (good[..40].to_owned(), "EOF while parsing"),
        (with("rg", "jq"), "jq already has a line for x86_64-linux"),
        (HEADER.to_owned(), "\"Lockfile\" is allowed only on line 1"),
        ("<<<<<<< HEAD".to_owned(), "merge conflict"),
        ("[".repeat(100_000), ""),
        (format!("\"{}\"", "x".repeat(jsonl::MAX_LINE)), "longer than 1048576 bytes"),
        ("\u{feff}".to_owned() + &good, "expected value"),
    ] {
        let error = error(&[&line("x86_64-linux", "jq"), &bad]);
        assert_eq!(error.line(), Some(3));
        let error = error.to_string();
        assert!(error.starts_with(expected), "{}: {error}", jsonl::head(bad.as_bytes()));
    }
    assert_eq!(Lockfile::parse(&vec![b'\n'; MAX_SIZE + 1]), Err(LockfileError::TooLarge));
}

#[test]
fn rejects_a_pin_that_could_not_be_parsed_again() {
    let mut lockfile = Lockfile::default();
    assert!(matches!(lockfile.insert(pin("x86_64-linux", "x", "1\n2")), Err(PinError::Version(_))));
    assert_eq!(lockfile, Lockfile::default());
}

prop_compose! {
    fn any_pin()(
        platform in "[a-z0-9_]{1,8}-[a-z]{1,8}", name in "[a-z0-9][^/{}\\\\\\pC\\s]{0,10}", binprovider in "[a-z]{1,5}",
        version in "[^\\pC\\s]{0,12}", package_version in "[^\\pC\\s]{0,12}", sha256 in "[0-9a-f]{64}", hook_sha256 in "[0-9a-f]{64}",
        overrides_sha256 in "([0-9a-f]{64})?", file in "[!-~]{1,20}", has_url: bool,
    ) -> Pin {
        let binprovider = ProviderName::parse(&binprovider).unwrap();
        let (url, url_sha256) = if has_url { (file, sha256.clone()) } else { Default::default() };
        Pin { platform, name, binprovider, version, package_version, sha256, url, url_sha256, hook_sha256, overrides_sha256 }
    }
}

proptest! {
    #[test]
    fn a_written_file_round_trips(pins in proptest::collection::vec(any_pin(), 0..20)) {
        let mut lockfile = Lockfile::default();
        for pin in pins {
            lockfile.insert(pin).unwrap();
        }
        let text = lockfile.to_string();
        let read = Lockfile::parse(text.as_bytes()).unwrap();
        prop_assert_eq!(&read, &lockfile);
        prop_assert_eq!(read.to_string(), text);
    }

    #[test]
    fn parses_or_rejects_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
        let with_header = [HEADER.as_bytes(), b"\n", &bytes].concat();
        for bytes in [bytes, with_header] {
            if let Ok(read) = Lockfile::parse(&bytes) {
                let text = read.to_string();
                prop_assert_eq!(Lockfile::parse(text.as_bytes()), Ok(read));
            }
        }
    }
}

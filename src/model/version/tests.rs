//! The order of versions, compared with the orders of semver and Debian.

use std::cmp::Ordering;

use proptest::prelude::*;

use super::*;

fn order(one: &str, other: &str) -> Ordering {
    Version::parse(one).cmp(&Version::parse(other))
}

/// Any text, mostly one that resembles a version.
fn any_text() -> impl Strategy<Value = String> {
    let version_like = "v?([0-9]:)?[0-9.]{0,6}[-~_+.]?(rc|a|dev|deb|post|x)?[0-9.~+-]{0,6}";
    prop_oneof![3 => version_like.boxed(), 1 => ".{0,20}".boxed()]
}

/// Two versions, mostly of the same release, so that often only their suffixes differ.
fn version_pair(
    releases: &'static str,
    tails: impl Strategy<Value = String> + Clone,
) -> impl Strategy<Value = (String, String)> {
    let other = prop_oneof![3 => Just(None), 1 => releases.prop_map(Some)];
    (releases, tails.clone(), other, tails).prop_map(|(release, tail, other_release, other_tail)| {
        let other = format!("{}{other_tail}", other_release.as_ref().unwrap_or(&release));
        (format!("{release}{tail}"), other)
    })
}

/// Two versions of three numbers, with a pre-release that starts with one of `PRERELEASE_WORDS`. Semver's other
/// pre-releases (`1.0.0-1`, `1.0.0-x64`) are revisions and builds here, and words with numbers are split: `rc9` comes
/// before `rc10`.
fn semver_pair() -> impl Strategy<Value = (String, String)> {
    let word = proptest::sample::select(PRERELEASE_WORDS.to_vec());
    let identifier = prop_oneof!["[a-c]{1,2}", "[1-9][0-9]{0,2}", "0"];
    let pre = (word, proptest::collection::vec(identifier, 0..3))
        .prop_map(|(word, rest)| [&[word.to_owned()], &rest[..]].concat().join("."));
    let tail =
        (proptest::option::of(pre), proptest::option::of("\\+[0-9a-z]{1,3}")).prop_map(|(pre, build)| {
            format!("{}{}", pre.map(|word| format!("-{word}")).unwrap_or_default(), build.unwrap_or_default())
        });
    version_pair("(0|[1-9][0-9]?|18446744073709551615)\\.(0|[1-9][0-9]?)\\.(0|[1-9][0-9]?)", tail)
}

/// Two versions of an epoch, numbers, a pre-release after `~`, and a revision like those of Debian's own packages. The
/// last number is not 0, because `1.2` equals `1.2.0` here but is older than it in Debian. The pre-release contains no
/// 0, because `~rc` equals `~rc0` in Debian.
fn debian_pair() -> impl Strategy<Value = (String, String)> {
    let tail = "(~((alpha|beta|rc)[1-9]?|[1-9])?)?\
                (-[0-9]{1,2}(\\.[0-9])?(~bpo1[0-2]\\+[1-9]|\\+(deb1[0-2]u[1-9]|b[1-9]))?)?";
    version_pair("([0-2]:)?(0?[0-9]{1,2}\\.){0,3}[1-9]", tail)
}

/// Compares two versions as deb-version(7) describes.
fn debian_order(one: &str, other: &str) -> Ordering {
    let split = |text: &str| {
        let (epoch, rest) = text.split_once(':').unwrap_or(("0", text));
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
        (epoch.parse::<u64>().unwrap(), upstream.to_owned(), revision.to_owned())
    };
    let (one, other) = (split(one), split(other));
    one.0
        .cmp(&other.0)
        .then_with(|| compare_parts(&one.1, &other.1))
        .then_with(|| compare_parts(&one.2, &other.2))
}

/// Compares alternating text and numbers.
fn compare_parts(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (one, other);
    while !(one.is_empty() && other.is_empty()) {
        let weights = |text: &str| {
            let text = text.chars().take_while(|character| !character.is_ascii_digit());
            let weight = |c| match c {
                '~' => -1,
                c if c.is_ascii_alphabetic() => c as i32,
                c => c as i32 + 256,
            };
            text.map(weight).chain([0]).collect::<Vec<_>>()
        };
        let number = |text: &str| {
            let text = text.trim_start_matches(|c: char| !c.is_ascii_digit());
            let digits = text.chars().take_while(char::is_ascii_digit).collect::<String>();
            digits.parse::<u64>().unwrap_or(0)
        };
        let compared = weights(one).cmp(&weights(other)).then_with(|| number(one).cmp(&number(other)));
        if compared.is_ne() {
            return compared;
        }
        let rest = |text| {
            str::trim_start_matches(text, |c: char| !c.is_ascii_digit())
                .trim_start_matches(|c: char| c.is_ascii_digit())
        };
        (one, other) = (rest(one), rest(other));
    }
    Ordering::Equal
}

#[test]
fn a_bound_with_a_revision_is_compared_with_the_version_of_the_package() {
    let accepts = |min, max, package| VersionRange { min, max }.contains_program("1.6", package);
    let debian = "1:1.6-2.1+deb12u3";
    for (min, max, expected) in [
        ("1.6-2.1+deb12u3", "1.6-2.1+deb12u3", true),
        ("1:1.6-2.1+deb12u3", "", true),
        ("1.6-2.1+deb12u4", "", false),
        ("", "1.6-2.1+deb12u2", false),
        ("1.6", "1.6", true),
        ("1.6", "1.6-3", true),
        ("1.7", "", false),
        ("2:1.5", "", false),
    ] {
        assert_eq!(accepts(min, max, debian), expected, "{min} {max}");
    }
    assert!(!accepts("1.6-2", "", ""));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "dpkg itself compares the versions")]
fn the_model_of_debians_order_matches_dpkg() {
    let versions = [
        "1.2~",
        "1.2~1",
        "1.2~beta",
        "1.2~rc1",
        "1.2~rc1-2",
        "1.2~rc10",
        "1.2",
        "1.2-0.1",
        "1.2-1~bpo12+1",
        "1.2-1",
        "1.2-1+b1",
        "1.2-1+deb12u1",
        "1.2-1+deb12u2",
        "1.2-1.1",
        "1.2-10",
        "1.02.1",
        "1.10",
        "1:0.1",
    ];
    for pair in versions.windows(2) {
        assert_eq!(debian_order(pair[0], pair[1]), Ordering::Less, "{pair:?}");
        let arguments = ["--compare-versions", pair[0], "lt", pair[1]];
        match std::process::Command::new("dpkg").args(arguments).status() {
            Ok(status) => assert!(status.success(), "{pair:?}"),
            // The test of a probe may reap the child of another test.
            Err(error) if error.raw_os_error() == Some(libc::ECHILD) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound),
        }
    }
}

#[test]
fn an_update_or_a_backport_does_not_equal_the_package() {
    assert_eq!(order("5.1.6-0+deb12u1", "5.1.6-0+deb12u2"), Ordering::Less);
    assert_eq!(order("1.0-1~bpo12+1", "1.0-1"), Ordering::Less);
    assert_eq!(order("2.3~rc-2", "2.3~rc1-1"), Ordering::Less);
    assert_eq!(order("2.3~", "2.3"), Ordering::Less);
    assert_eq!(order("9.2p1", "9.2p2"), Ordering::Less);
    assert_eq!(order("1.2-0", "1.2"), Ordering::Equal);
    assert_eq!(order("1.2-0~bpo10+1", "1.2"), Ordering::Less);
}

#[test]
fn a_post_release_of_python_is_newer_in_both_spellings() {
    assert_eq!(order("2.0-1", "2.0.post1"), Ordering::Equal);
    assert_eq!(order("2.0-post1", "2.0post1"), Ordering::Equal);
    let ascending = ["2.0", "2.0.post0", "2.0.post1", "2.0-2", "2.0.post10", "2.1"];
    for pair in ascending.windows(2) {
        assert_eq!(order(pair[0], pair[1]), Ordering::Less, "{pair:?}");
    }
    assert!(VersionRange::exactly("2.0-1").contains_program("2.0.post1", "2.0.post1"));
}

#[test]
fn an_exact_version_with_a_label_accepts_no_other_label() {
    for (exact, version, package_version, is_accepted) in [
        ("1.0+cpu", "1.0+cpu", "1.0+cpu", true),
        ("1.0+cpu", "1.0+cu118", "1.0+cu118", false),
        ("1.0+cpu", "1.0", "1.0", false),
        ("1.0+Ubuntu-1", "1.0+ubuntu.1", "1.0+ubuntu.1", true),
        ("1.0", "1.0+cpu", "1.0+cpu", true),
        ("1.0+cpu", "1.0", "1.0+cpu", true),
        ("1.0+cpu", "1.0+cu118", "", false),
        ("1.0+cpu", "1.0", "", true),
        ("1.7.1+dfsg", "1.7.1", "1.7.1+dfsg-3", true),
        ("1.7.1+dfsg-3", "1.7.1", "2:1.7.1+dfsg-3", true),
    ] {
        let found = VersionRange::exactly(exact).contains_program(version, package_version);
        assert_eq!(found, is_accepted, "{exact} {version} {package_version}");
    }
    assert!(!VersionRange::exactly("1.0+cpu").contains("1.0+cu118"));
    assert!(VersionRange { min: "1.0+cpu", max: "" }.contains("1.0+cu118"));
}

#[test]
fn a_pre_release_of_0_is_stricter_than_no_minimum() {
    for minimum in ["0~rc1", "v0.0-beta", "1"] {
        assert_eq!(stricter(minimum, ""), minimum);
        assert_eq!(stricter(" ", minimum), minimum);
    }
    assert_eq!(stricter("", ""), "");
}

proptest! {
    #[test]
    fn the_order_is_total(a in any_text(), b in any_text(), c in any_text()) {
        let parsed = [&a, &b, &c].map(|text| Version::parse(text));
        for one in &parsed {
            for other in &parsed {
                prop_assert_eq!(one.cmp(other), other.cmp(one).reverse());
                prop_assert_eq!(one == other, one.cmp(other).is_eq());
                for third in &parsed {
                    let is_chain = one <= other && other <= third;
                    prop_assert!(!is_chain || one <= third, "{a:?} {b:?} {c:?}");
                    let is_equal = one == other && other == third;
                    prop_assert!(!is_equal || one == third, "{a:?} {b:?} {c:?}");
                }
            }
        }
        if [&a, &b].iter().all(|text| !text.trim().is_empty()) {
            let stricter = stricter(&a, &b);
            prop_assert!(order(stricter, &a).is_ge() && order(stricter, &b).is_ge(), "{a:?} {b:?}");
        }
    }

    #[test]
    fn semver_versions_sort_as_in_semver((a, b) in semver_pair()) {
        let semver = |text: &str| semver::Version::parse(text).unwrap();
        prop_assert_eq!(order(&a, &b), semver(&a).cmp_precedence(&semver(&b)), "{} {}", a, b);
    }

    #[test]
    fn package_versions_sort_as_in_debian((a, b) in debian_pair()) {
        prop_assert_eq!(order(&a, &b), debian_order(&a, &b), "{} {}", a, b);
    }
}

#[test]
fn a_number_and_what_package_managers_add_to_it_is_a_version() {
    for version in [
        "1",
        " v1.2",
        "2024.01.02",
        "1:2.3-4+deb12u1",
        "1.2.3-rc.1+build",
        "2024a",
        "1:2.3~deb",
        "1!2.0.post1",
        "1.2.3_1",
        "0.0.0-20191109021931-daa7c04131f5",
        "10.0.19041.1",
        "1.0^git",
    ] {
        assert!(Version::looks_like_version(version), "{version}");
    }
    for other in [
        "", "latest", "abc", "v", "vv1", "-1", ">=2", "1..2", "1.", "1.x", "1.*", "1\n2", "1 2", "1;2",
        "1/2", "1@2",
    ] {
        assert!(!Version::looks_like_version(other), "{other}");
    }
}

#[test]
fn versions_in_every_format_are_ordered() {
    let ascending = [
        "",
        "0.9",
        "v1",
        "1.0.1-alpha",
        "1.0.1-alpha.1",
        "1.0.1-beta.2",
        "1.0.1-rc.1",
        "1.0.1rc2",
        "1.0.1",
        "1.0.1-4",
        "1.0.1-4.1",
        "1.2",
        "1.10",
        "2.3~beta1",
        "2.3",
        "2024.01.02",
        "2024.4.9",
        "2024.12.1",
        "99999999999999999999999999",
        "1:0.1",
        "1:2.3-4+deb12u1",
    ];
    for (index, low) in ascending.iter().enumerate() {
        for high in &ascending[index + 1..] {
            assert!(Version::parse(low) < Version::parse(high), "{low} < {high}");
        }
    }
}

#[test]
fn different_formats_of_a_version_are_equal() {
    for (one, other) in [("1.2", "1.2.0"), ("v3", "3"), ("2024.04.09", "2024.4.9"), ("1.2+a", "1.2+b")] {
        assert_eq!(Version::parse(one), Version::parse(other), "{one} = {other}");
    }
}

#[test]
fn a_packaged_release_is_not_older_than_the_release() {
    assert!(Version::parse("1.2.3-x86_64") >= Version::parse("1.2.3"));
    assert!(Version::parse("5.1.6-0+deb12u1") >= Version::parse("5.1.6"));
}

#[test]
fn an_empty_version_satisfies_only_a_blank_minimum() {
    let satisfies = |version: &str, min: &str| VersionRange { min, max: "" }.contains(version);
    assert!(satisfies("", "") && satisfies("1.10", "1.9"));
    assert!(!satisfies("", "1") && !satisfies("1.9", "1.10"));
}

#[test]
fn a_range_includes_both_bounds() {
    let range = VersionRange { min: "1.2", max: "1.10" };
    for (version, is_in) in [("1.1", false), ("1.2.0", true), ("1.10", true), ("1.10.1", false), ("", false)]
    {
        assert_eq!(range.contains(version), is_in, "{version:?}");
    }
    assert!(VersionRange { min: "2", max: "1" }.is_empty() && !range.is_empty());
    assert_eq!((range.exact(), VersionRange { min: "2.0", max: "2" }.exact()), (None, Some("2")));
    let shown = [("1", ""), ("", "3"), ("1", "3"), ("2", "2")]
        .map(|(min, max)| VersionRange { min, max }.to_string());
    assert_eq!(shown, [">= 1", "<= 3", ">= 1, <= 3", "== 2"]);
}

#[test]
fn a_partial_version_stands_for_all_that_begin_with_it() {
    for (partial, version, expected) in [
        ("14", "14.1.2", true),
        ("14", "14", true),
        ("v14", "14.0.1", true),
        ("14", "140.1", false),
        ("14.1", "14.1.9", true),
        ("14.1", "14.10", false),
        ("14.0", "14.0.3", true),
        ("14.0", "14.1", false),
        ("14.1.0", "14.1.0.1", false),
        ("14.1-1", "14.1.1", false),
        ("14", "", false),
        ("0", "", false),
    ] {
        let range = VersionRange::exactly(partial);
        assert_eq!(range.contains_program(version, ""), expected, "{partial} {version}");
    }
    assert_eq!(VersionRange { min: "14", max: "" }.partial(), None);
    assert_eq!(VersionRange::default().partial(), None);
}

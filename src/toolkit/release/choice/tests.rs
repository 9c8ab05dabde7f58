use super::*;

fn release(tag: &str, assets: &[&str]) -> PublishedRelease {
    let asset = |name: &&str| Asset { name: (*name).to_owned(), ..Asset::default() };
    PublishedRelease {
        tag: tag.to_owned(),
        assets: assets.iter().map(asset).collect(),
        ..PublishedRelease::default()
    }
}

fn criteria() -> Criteria<'static> {
    Criteria {
        program: "x",
        repository: "tools",
        tag: None,
        tag_prefix: None,
        with_prereleases: false,
        versions: VersionRange { min: "", max: "" },
        exact_version: "",
        released_before: None,
        asset: None,
        sha256: None,
        platform: "linux-x86_64-gnu".parse().unwrap(),
    }
}

fn chosen(criteria: &Criteria<'_>, releases: &[PublishedRelease]) -> String {
    criteria.choose(releases).map_or_else(
        |problem| problem.map_or_else(String::new, |problem| problem.to_string()),
        |choice| format!("{} {}", choice.release.tag, choice.assets[0].name),
    )
}

const ASSET: &[&str] = &["x-linux-x86_64.gz"];

#[test]
fn the_release_of_another_program_in_the_repository_comes_last() {
    let releases =
        [release("y-v9.0", ASSET), release("x-v1.0", ASSET), release("x-v2.0", &["x-windows.zip"])];
    assert_eq!(chosen(&criteria(), &releases), "x-v1.0 x-linux-x86_64.gz");
    assert_eq!(chosen(&criteria(), &releases[..1]), "y-v9.0 x-linux-x86_64.gz");
}

#[test]
fn a_release_of_another_program_counts_only_if_a_file_is_named_for_this() {
    let other = |assets| release("y-v9.0", assets);
    for assets in [&["x-linux-x86_64.gz"], &["tools-linux-x86_64.gz"]] {
        assert_eq!(chosen(&criteria(), &[other(assets)]), format!("y-v9.0 {}", assets[0]));
    }
    for assets in [&["y-linux-x86_64.gz"][..], &["tools-y-linux-x86_64.gz"], &["y-linux.gz", "x.sha256"]] {
        let reason = "y-v9.0 is a release of another program, without a file for x; if it has x, set the override tag_prefix";
        assert_eq!(chosen(&criteria(), &[other(assets)]), reason);
        assert!(criteria().list(&[other(assets)]).is_empty());
        let named = Criteria { tag: Some("y-v9.0"), ..criteria() };
        assert_eq!(chosen(&named, &[other(assets)]), format!("y-v9.0 {}", assets[0]));
        let of_prefix = Criteria { tag_prefix: Some("y-"), ..criteria() };
        assert_eq!(chosen(&of_prefix, &[other(assets)]), format!("y-v9.0 {}", assets[0]));
    }
    let longer = [release("x-extra-v9.0", &["x-extra-linux-x86_64.gz"])];
    assert!(chosen(&criteria(), &longer).starts_with("x-extra-v9.0 is a release of another program"));
}

#[test]
fn a_release_without_a_version_comes_after_those_with_one() {
    let releases = [release("nightly", ASSET), release("v1.0", ASSET)];
    assert_eq!(chosen(&criteria(), &releases), "v1.0 x-linux-x86_64.gz");
    assert_eq!(chosen(&criteria(), &releases[..1]), "nightly x-linux-x86_64.gz");
    let versions = VersionRange { min: "1", max: "" };
    let reason = chosen(&Criteria { versions, ..criteria() }, &releases[..1]);
    assert_eq!(reason, "nightly has the version \"\", which is not 1 or newer");
}

#[test]
fn a_tag_is_named_as_it_is_or_by_its_version() {
    let releases = [release("v14.1", ASSET), release("v14", ASSET)];
    for (tag, expected) in
        [("v14", "v14 x"), ("14.0.0", "v14 x"), ("14.1", "v14.1 x"), ("13", ""), ("v1", "")]
    {
        let found = chosen(&Criteria { tag: Some(tag), ..criteria() }, &releases);
        assert!(found.starts_with(expected) && found.is_empty() == expected.is_empty(), "{tag}: {found}");
    }
}

#[test]
fn the_stated_digest_tells_which_asset_is_meant() {
    let mut release = release("v1", &["x-linux-x86_64-gnu.gz", "x-linux-x86_64-musl.gz"]);
    release.assets[1].sha256 = Some("a".repeat(64));
    let digest = "a".repeat(64);
    let criteria = Criteria { sha256: Some(&digest), ..criteria() };
    assert_eq!(chosen(&criteria, &[release]), "v1 x-linux-x86_64-musl.gz");
}

#[test]
fn a_release_without_a_date_is_not_old_enough() {
    let releases = [release("v1", ASSET)];
    let criteria = Criteria { released_before: Some("2026-01-01T00:00:00Z".parse().unwrap()), ..criteria() };
    assert_eq!(chosen(&criteria, &releases), "v1 does not say when it was released");
}

#[test]
fn the_accepted_versions_are_named_in_words() {
    for (exact_version, min, max, words) in [
        ("14", "", "", "14"),
        ("14.1", "14.1", "14.1", "14.1"),
        ("14", "14.5", "", "14 that is 14.5 or newer"),
        ("", "1", "2", "1 to 2"),
    ] {
        let criteria = Criteria { exact_version, versions: VersionRange { min, max }, ..criteria() };
        assert_eq!(criteria.versions_in_words(), words);
    }
}

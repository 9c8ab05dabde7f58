use super::*;

fn pin_one(package: &str, format: &str) -> String {
    let mut packages = ["--quiet", package, "other"].map(str::to_owned);
    pin(&mut packages, format, "1.2.3");
    assert_eq!((packages[0].as_str(), packages[2].as_str()), ("--quiet", "other"));
    packages[1].clone()
}

#[test]
fn pins_the_first_package_in_the_package_managers_format() {
    for (package, format, expected) in [
        ("black", "=={}", "black==1.2.3"),
        ("yt-dlp[default]", "=={}", "yt-dlp[default]==1.2.3"),
        ("x>=1,<3", "=={}", "x>=1,<3,==1.2.3"),
        ("x==1.*", "=={}", "x==1.*,==1.2.3"),
        ("@postlight/parser", "@{}", "@postlight/parser@1.2.3"),
        ("@postlight/parser@latest", "@{}", "@postlight/parser@1.2.3"),
        ("ripgrep@14", "@{}", "ripgrep@1.2.3"),
        ("golang.org/x/tools/cmd/stringer@latest", "@v{}", "golang.org/x/tools/cmd/stringer@v1.2.3"),
        ("rake", ":{}", "rake:1.2.3"),
        ("git", "={}", "git=1.2.3"),
        ("git=1.*", "={}", "git=1.2.3"),
    ] {
        assert_eq!(pin_one(package, format), expected);
    }
}

#[test]
fn a_version_after_a_v_is_pinned_too() {
    for (format, expected) in [("=={}", "x==1.2.3"), ("@{}", "x@1.2.3"), ("@v{}", "x@v1.2.3")] {
        let mut packages = ["x".to_owned()];
        pin(&mut packages, format, "v1.2.3");
        assert_eq!(packages, [expected]);
    }
}

#[test]
fn a_package_with_a_version_is_written_in_the_package_managers_format() {
    for (package, format, expected) in [
        ("yt-dlp@2025.12.8", "=={}", Some("yt-dlp==2025.12.8")),
        ("yt-dlp[default]@2025.12.8", "=={}", Some("yt-dlp[default]==2025.12.8")),
        ("git@1.2-1", "={}", Some("git=1.2-1")),
        ("git@1:2.39.5-0+deb12u1", "={}", Some("git=1:2.39.5-0+deb12u1")),
        ("git@x:2", "={}", None),
        ("black@v24.1", "=={}", Some("black==24.1")),
        ("example.com/x@1.2.3", "@v{}", Some("example.com/x@v1.2.3")),
        ("prettier@3.0.0", "@{}", None),
        ("x @ https://example.org/x.whl", "=={}", None),
        ("x@latest", "@v{}", None),
        ("@scope/x", "@v{}", None),
    ] {
        assert_eq!(with_version(package, format).as_deref(), expected, "{package}");
    }
}

#[test]
fn the_name_of_a_package_ends_before_its_version() {
    for (package, format, expected) in [
        ("yt-dlp[default]>=1,<3", Some("=={}"), "yt-dlp"),
        ("@postlight/parser@1.2", Some("@{}"), "@postlight/parser"),
        ("git=1:2.39", Some("={}"), "git"),
        ("node@22", None, "node@22"),
    ] {
        assert_eq!(without_version(package, format), expected);
    }
}

#[test]
fn a_registry_lists_a_package_that_states_no_range_of_versions() {
    for (package, expected) in [
        ("yt-dlp[default]", Some(("yt-dlp", ""))),
        ("@postlight/parser", Some(("@postlight/parser", ""))),
        ("golang.org/x/tools/cmd/stringer", Some(("golang.org/x/tools/cmd/stringer", ""))),
        ("golang.org/x/tools/cmd/stringer@v0.24.0", Some(("golang.org/x/tools/cmd/stringer", "0.24.0"))),
        ("yt-dlp[default]==2025.1", Some(("yt-dlp", "2025.1"))),
        ("prettier@3", Some(("prettier", "3"))),
        ("@postlight/parser@1", Some(("@postlight/parser", "1"))),
        ("npm:typescript@5.0.2/tsc", Some(("typescript", "5.0.2"))),
        ("rake:13", Some(("rake", "13"))),
        ("jq=1.6-2", Some(("jq", "1.6-2"))),
        ("yt-dlp[default]>=1", None),
        ("yt-dlp[default", None),
        ("yt-dlp==1.*", None),
        ("prettier@latest", None),
        ("prettier@^3", None),
        ("x @ https://example.org/x.whl", None),
        ("https://example.org/x.whl", None),
        ("git=1:2-1", Some(("git", "1:2-1"))),
        ("rake:1:2", None),
        ("epo==1!2.0", Some(("epo", "1!2.0"))),
        ("git=1!2", None),
        ("user/repository", None),
        ("./x", None),
        ("x?y", None),
    ] {
        assert_eq!(listed(package), expected, "{package}");
    }
}

#[test]
fn a_package_that_is_not_from_the_registry_is_a_location() {
    for name in [
        "x",
        "x@^1.2",
        "@s/x",
        "@s/x@latest",
        "npm:x@1",
        "y@npm:x@1",
        "y@npm:@s/x",
        "x[a]>=1,<3; os_name=='a'",
    ] {
        assert!(!is_location(name), "{name}");
    }
    for location in [
        "user/x",
        "user/x#v1",
        "x@user/x",
        "github:user/x",
        "x@git+ssh://git@example.org/x.git",
        "@s/x@file:../x",
        "git@example.org:x.git",
        "./x",
        "../x",
        "/src/x",
        "~/x",
        "x.tgz",
        "x @ https://example.org/x",
        "x-1.0.whl",
        "y@npm:x@user/x",
        "file:x",
    ] {
        assert!(is_location(location), "{location}");
    }
}

#[test]
fn does_not_change_a_package_with_a_full_version_or_a_location() {
    for (package, format) in [
        ("x==2.0", "=={}"),
        ("x @ https://example.org/x.whl", "=={}"),
        ("git+https://example.org/x", "=={}"),
        ("./x", "=={}"),
        ("ripgrep@14.1.0", "@{}"),
        ("golang.org/x/tools/cmd/stringer@v0.24.0", "@v{}"),
        ("x@npm:y", "@{}"),
        ("user/repository", "@{}"),
        ("git=1:2.39.5-0", "={}"),
        ("x=2.1", "={}"),
        ("x=20240101", "={}"),
        ("x:13.0", ":{}"),
    ] {
        assert_eq!(pin_one(package, format), package);
    }
}

#[test]
fn limits_the_first_package_to_releases_up_to_a_version() {
    for (package, format, max, expected) in [
        ("black", "<={}", "24.1", "black<=24.1.0"),
        ("yt-dlp[default]>=2024", "<={}", "2025.01.02", "yt-dlp[default]>=2024,<=2025.1.2"),
        ("prettier", "@<={}", "v3", "prettier@<=3.0.0"),
        ("@postlight/parser", "@<={}", "1.2.3.4", "@postlight/parser@<=1.2.3.4"),
        ("@postlight/parser@^2", "@<={}", "3", "@postlight/parser@^2"),
        ("rake", ":<={}", "13", "rake:<=13.0.0"),
        ("./x", "<={}", "3", "./x"),
        ("x", "<={}", "1!2.0", "x<=1!2.0.0"),
        ("x", "@<={}", "1!2.0", "x"),
        ("x", "@<={}", "1:2", "x"),
        ("x", "@<={}", "2.0-rc1", "x"),
        ("x", "@<={}", "", "x"),
    ] {
        let mut packages = ["--quiet", package, "other"].map(str::to_owned);
        limit(&mut packages, format, max);
        assert_eq!(packages, ["--quiet", expected, "other"]);
    }
}

#[test]
fn adds_only_a_plain_version() {
    for version in ["", "latest", "1.0 --index-url=x", "1.0;x", "https://example.org/x.tgz", "1:2"] {
        let mut packages = ["x".to_owned()];
        pin(&mut packages, "@{}", version);
        assert_eq!(packages, ["x"], "{version}");
    }
    for (version, expected) in
        [("1:2.3-1", "x=1:2.3-1"), ("1:2:3", "x"), (":2", "x"), ("1:", "x"), ("a:2", "x")]
    {
        let mut packages = ["x".to_owned()];
        pin(&mut packages, SYSTEM_VERSION_FORMAT, version);
        assert_eq!(packages, [expected]);
    }
    for (version, expected) in [("1!2.0", "x==1!2.0"), ("1!", "x"), ("!2", "x"), ("1:2", "x"), ("1!2:3", "x")]
    {
        let mut packages = ["x".to_owned()];
        pin(&mut packages, "=={}", version);
        assert_eq!(packages, [expected]);
    }
}

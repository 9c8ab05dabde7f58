use std::fmt::Write;

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use super::*;

/// Three platforms that differ in all that names say.
const PLATFORMS: [&str; 3] = ["linux-x86_64-gnu", "linux-aarch64-musl", "darwin-arm64"];

/// A line of `fixtures/release_assets/projects.jsonl`.
#[derive(Deserialize)]
struct Project {
    repo: String,
    bin: String,
    assets: Vec<String>,
    choice: serde_json::Map<String, Value>,
}

fn choose<'a>(names: &[&'a str], program: &str, platform: &str) -> Option<&'a str> {
    let platform = platform.parse().expect("the tests name valid platforms");
    rank(names, program, platform).first().map(|&place| names[place])
}

#[test]
fn chooses_the_right_asset_of_real_projects() {
    let mut failures = String::new();
    let mut count = 0;
    for line in include_str!("../../../fixtures/release_assets/projects.jsonl").lines() {
        let project: Project = serde_json::from_str(line).expect("the fixture is valid");
        let names: Vec<&str> = project.assets.iter().map(String::as_str).collect();
        for (platform, right) in &project.choice {
            count += 1;
            let chosen = choose(&names, &project.bin, platform);
            let also = right.get("also").and_then(Value::as_array).into_iter().flatten();
            let is_right = also.map(Value::as_str).any(|other| other == chosen)
                || chosen == right["asset"].as_str()
                || right.get("needs").is_some();
            if !is_right {
                let best = right["asset"].as_str().unwrap_or("none");
                let chosen = chosen.unwrap_or("none");
                writeln!(failures, "{} on {platform}: {chosen}, not {best}", project.repo)
                    .expect("infallible");
            }
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
    assert_eq!(count, 258);
}

/// Checks the choice for `PLATFORMS` among names that are separated by blanks.
#[track_caller]
fn assert_choices(program: &str, names: &str, expected: [Option<&str>; 3]) {
    let names: Vec<&str> = names.split_whitespace().collect();
    let chosen = PLATFORMS.map(|platform| choose(&names, program, platform));
    assert_eq!(chosen, expected, "{program}");
}

#[test]
fn words_are_read_whole_and_the_programs_own_are_left_out() {
    assert_choices(
        "go-arch-lint",
        "go-arch-lint_1.14.0_linux_amd64.tar.gz go-arch-lint_1.14.0_linux_arm64.tar.gz \
         go-arch-lint_1.14.0_darwin_arm64.tar.gz go-arch-lint_1.14.0_windows_amd64.zip",
        [
            Some("go-arch-lint_1.14.0_linux_amd64.tar.gz"),
            Some("go-arch-lint_1.14.0_linux_arm64.tar.gz"),
            Some("go-arch-lint_1.14.0_darwin_arm64.tar.gz"),
        ],
    );
    assert_choices(
        "winhop",
        "winhop-1.0-linux-x64.zip winhop-1.0-macos-intel.zip winhop-1.0-macos-apple-silicon.zip winhop-1.0-win-x64.zip",
        [Some("winhop-1.0-linux-x64.zip"), None, Some("winhop-1.0-macos-apple-silicon.zip")],
    );
    assert_choices(
        "darwin-tool",
        "darwin-tool-darwin-arm64 darwin-tool-linux-amd64 darwin-tool-windows-amd64.exe",
        [Some("darwin-tool-linux-amd64"), None, Some("darwin-tool-darwin-arm64")],
    );
    assert_choices(
        "src",
        "src-cli_5.0_darwin_arm64.tar.gz src-cli_5.0_linux_amd64.tar.gz source.tar.gz",
        [Some("src-cli_5.0_linux_amd64.tar.gz"), None, Some("src-cli_5.0_darwin_arm64.tar.gz")],
    );
}

#[test]
fn several_words_may_name_one_architecture() {
    assert_choices(
        "vale",
        "vale_3.12.0_Linux_64-bit.tar.gz vale_3.12.0_Linux_arm64.tar.gz vale_3.12.0_macOS_64-bit.tar.gz",
        [
            Some("vale_3.12.0_Linux_64-bit.tar.gz"),
            Some("vale_3.12.0_Linux_arm64.tar.gz"),
            Some("vale_3.12.0_macOS_64-bit.tar.gz"),
        ],
    );
    assert_choices(
        "protoc",
        "protoc-33.0-linux-aarch_64.zip protoc-33.0-linux-x86_32.zip protoc-33.0-linux-x86_64.zip \
         protoc-33.0-osx-universal_binary.zip protoc-33.0-osx-x86_64.zip",
        [
            Some("protoc-33.0-linux-x86_64.zip"),
            Some("protoc-33.0-linux-aarch_64.zip"),
            Some("protoc-33.0-osx-universal_binary.zip"),
        ],
    );
}

#[test]
fn a_word_may_name_a_system_and_an_architecture_or_a_c_library() {
    assert_choices(
        "geckodriver",
        "geckodriver-v0.36.0-linux-aarch64.tar.gz geckodriver-v0.36.0-linux32.tar.gz \
         geckodriver-v0.36.0-linux64.tar.gz geckodriver-v0.36.0-macos.tar.gz geckodriver-v0.36.0-win32.zip",
        [
            Some("geckodriver-v0.36.0-linux64.tar.gz"),
            Some("geckodriver-v0.36.0-linux-aarch64.tar.gz"),
            Some("geckodriver-v0.36.0-macos.tar.gz"),
        ],
    );
    assert_choices(
        "yt-dlp",
        "SHA2-256SUMS SHA2-256SUMS.sig yt-dlp yt-dlp.exe yt-dlp.tar.gz yt-dlp_linux yt-dlp_linux_aarch64 yt-dlp_macos \
         yt-dlp_musllinux yt-dlp_musllinux_aarch64 yt-dlp_x86.exe",
        [Some("yt-dlp_linux"), Some("yt-dlp_musllinux_aarch64"), Some("yt-dlp_macos")],
    );
}

#[test]
fn a_c_library_or_a_distribution_names_the_system() {
    let wasmtime = "wasmtime-v29-x86_64-linux.tar.xz wasmtime-v29-x86_64-musl.tar.xz wasmtime-v29-aarch64-linux.tar.xz \
                    wasmtime-v29-aarch64-musl.tar.xz wasmtime-v29-aarch64-macos.tar.xz";
    let expected = [
        "wasmtime-v29-x86_64-linux.tar.xz",
        "wasmtime-v29-aarch64-musl.tar.xz",
        "wasmtime-v29-aarch64-macos.tar.xz",
    ];
    assert_choices("wasmtime", wasmtime, expected.map(Some));
    let texlab = "texlab-x86_64-linux.tar.gz texlab-aarch64-alpine.tar.gz texlab-aarch64-linux.tar.gz \
                  texlab-aarch64-macos.tar.gz texlab-x86_64-alpine.tar.gz";
    let expected =
        ["texlab-x86_64-linux.tar.gz", "texlab-aarch64-alpine.tar.gz", "texlab-aarch64-macos.tar.gz"];
    assert_choices("texlab", texlab, expected.map(Some));
}

#[test]
fn a_number_of_a_version_is_no_architecture() {
    assert_choices(
        "tool",
        "tool-linux-64.0.1.tar.gz tool-linux-arm64-64.0.1.tar.gz tool-macos-amd64-v3.0.1.tar.gz",
        [
            Some("tool-linux-64.0.1.tar.gz"),
            Some("tool-linux-arm64-64.0.1.tar.gz"),
            Some("tool-macos-amd64-v3.0.1.tar.gz"),
        ],
    );
}

#[test]
fn the_fewest_other_words_come_before_the_c_library() {
    assert_choices(
        "ollama",
        "ollama-darwin.tgz ollama-linux-amd64-rocm.tgz ollama-linux-amd64.tgz ollama-linux-arm64-jetpack5.tgz \
         ollama-linux-arm64.tgz OllamaSetup.exe",
        [Some("ollama-linux-amd64.tgz"), Some("ollama-linux-arm64.tgz"), Some("ollama-darwin.tgz")],
    );
    assert_choices(
        "chezmoi",
        "chezmoi-full-linux-glibc_amd64.tar.gz chezmoi_2.66.1_android_arm64.tar.gz chezmoi_2.66.1_linux-glibc_amd64.tar.gz \
         chezmoi_2.66.1_linux-musl_amd64.tar.gz chezmoi_2.66.1_linux_amd64.tar.gz chezmoi_2.66.1_linux_arm64.tar.gz",
        [Some("chezmoi_2.66.1_linux-glibc_amd64.tar.gz"), Some("chezmoi_2.66.1_linux_arm64.tar.gz"), None],
    );
}

#[test]
fn another_program_of_the_release_is_never_chosen() {
    assert_choices(
        "kubens",
        "kubectx kubectx_v0.11.0_darwin_arm64.tar.gz kubectx_v0.11.0_linux_arm64.tar.gz \
         kubens_v0.11.0_linux_x86_64.tar.gz",
        [Some("kubens_v0.11.0_linux_x86_64.tar.gz"), None, None],
    );
    assert_choices(
        "sccache",
        "sccache-dist-v0.12.0-aarch64-unknown-linux-musl.tar.gz sccache-v0.12.0-aarch64-apple-darwin.tar.gz \
         sccache-v0.12.0-x86_64-unknown-linux-musl.tar.gz",
        [
            Some("sccache-v0.12.0-x86_64-unknown-linux-musl.tar.gz"),
            None,
            Some("sccache-v0.12.0-aarch64-apple-darwin.tar.gz"),
        ],
    );
}

#[test]
fn what_a_name_leaves_open_follows_from_the_other_names() {
    assert_choices("broot", "broot_1.54.0.zip", [Some("broot_1.54.0.zip"); 3]);
    assert_choices("selene", "selene selene.exe selene-mac", [Some("selene"), None, Some("selene-mac")]);
    assert_choices(
        "fnm",
        "fnm-arm64.zip fnm-linux.zip fnm-macos.zip fnm-windows.zip",
        [Some("fnm-linux.zip"), Some("fnm-arm64.zip"), Some("fnm-macos.zip")],
    );
    assert_choices(
        "k3s",
        "k3s k3s-arm64 k3s-airgap-images-amd64.tar.zst",
        [Some("k3s"), Some("k3s-arm64"), None],
    );
    // The source code has neither a system nor an architecture in its name.
    assert_choices("tool", "tool-1.0.tar.gz tool-1.0-win64.zip", [None; 3]);
}

#[test]
fn macos_has_no_32_bit_programs() {
    assert_choices(
        "gitui",
        "gitui-linux-x86_64.tar.gz gitui-mac-x86.tar.gz gitui-mac.tar.gz",
        [Some("gitui-linux-x86_64.tar.gz"), None, Some("gitui-mac.tar.gz")],
    );
    assert_choices(
        "bob",
        "bob-linux-arm.zip bob-linux-x86_64.zip bob-macos-arm.zip bob-macos-x86_64.zip",
        [Some("bob-linux-x86_64.zip"), Some("bob-linux-arm.zip"), Some("bob-macos-arm.zip")],
    );
}

#[test]
fn drops_side_files_packages_and_sources() {
    assert_choices(
        "atuin",
        "atuin-installer.sh atuin-x86_64-unknown-linux-gnu.tar.gz.sha256 atuin_18_amd64.deb atuin-18-x86_64.pkg.tar.zst \
         atuin-18-source.tar.xz atuin-linux-amd64.sbom.json atuin-x86_64-unknown-linux-gnu-dbg.tar.gz atuin.1",
        [None; 3],
    );
    // A word that all names have is a part of the project's name.
    assert_choices(
        "envtest",
        "setup-envtest-linux-amd64 setup-envtest-linux-amd64.sha256 setup-envtest-darwin-arm64",
        [Some("setup-envtest-linux-amd64"), None, Some("setup-envtest-darwin-arm64")],
    );
}

#[test]
fn a_script_may_have_the_programs_own_extension() {
    assert_choices("testssl.sh", "testssl.sh testssl.sh.asc", [Some("testssl.sh"); 3]);
    assert_choices("testssl", "testssl.sh", [None; 3]);
}

#[test]
fn prefers_archives_and_puts_app_images_last() {
    assert_choices(
        "nvim",
        "nvim-linux-arm64.appimage nvim-linux-x86_64.appimage nvim-linux-x86_64 nvim-linux-x86_64.gz \
         nvim-linux-x86_64.tar.gz nvim-macos-arm64.tar.gz",
        [Some("nvim-linux-x86_64.tar.gz"), None, Some("nvim-macos-arm64.tar.gz")],
    );
    let names =
        ["x-x86_64.AppImage", "x-linux-x64", "x-linux-x64.xz", "x-linux-x64.zip", "x-linux-x64.tar.xz"];
    let platform = "linux-x86_64-gnu".parse().expect("valid");
    assert_eq!(rank(&names, "x", platform), [4, 3, 2, 1, 0]);
}

#[test]
fn newer_processors_and_distributions_come_after_all_others() {
    assert_choices(
        "dive",
        "dive_linux_amd64v1.tar.gz dive_linux_amd64v3.tar.gz dive_linux_alpine_arm64.tar.gz",
        [Some("dive_linux_amd64v1.tar.gz"), Some("dive_linux_alpine_arm64.tar.gz"), None],
    );
    assert_choices(
        "x",
        "x-ubuntu-22.04-x64.tar.gz x-linux-x64.tar.gz",
        [Some("x-linux-x64.tar.gz"), None, None],
    );
}

#[test]
fn a_platform_is_read_and_written_in_the_same_way() {
    for text in
        ["linux-x86_64-gnu", "linux-aarch64-musl", "linux-riscv64-gnu", "darwin-arm64", "darwin-x86_64"]
    {
        assert_eq!(text.parse::<Platform>().expect("valid").to_string(), text);
    }
    for (text, same) in [("linux-amd64-gnu", "linux-x86_64-gnu"), ("darwin-aarch64", "darwin-arm64")] {
        assert_eq!(text.parse::<Platform>().expect("valid").to_string(), same);
    }
    for text in
        ["", "linux", "linux-x86_64", "linux-z80-gnu", "linux-mips-gnu", "windows-x86_64", "darwin-arm64-gnu"]
    {
        assert!(text.parse::<Platform>().is_err(), "{text}");
    }
}

/// Names like those of releases, and any other text.
fn any_name() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        r"(x|x-y|tool|src|v?[0-9]{1,3}(\.[0-9]{1,3})*)",
        "(linux|darwin|win|musl|gnu|x86_64|x86|arm64|arm|64|bit|static|all|universal|alpine|apple|debug)",
        r"\.(tar\.gz|zip|gz|exe|deb|sha256|json|AppImage|1|pkg\.tar\.zst)",
        r"\PC{0,3}",
    ];
    let separator = prop_oneof![Just("-"), Just("_"), Just("."), Just("")];
    let parts = prop::collection::vec((part, separator), 0..7);
    parts.prop_map(|parts| {
        parts.into_iter().flat_map(|(part, separator)| [part, separator.to_owned()]).collect()
    })
}

proptest! {
    #[test]
    fn any_names_give_different_places_that_do_not_depend_on_the_order(
        names in prop::collection::vec(any_name(), 0..12),
        program in prop_oneof![Just("x".to_owned()), Just("x-y".to_owned()), any_name()],
        platform in prop::sample::select(&PLATFORMS[..]),
    ) {
        let platform = platform.parse().expect("valid");
        let ranked = rank(&names, &program, platform);
        let mut places = ranked.clone();
        places.sort_unstable();
        places.dedup();
        prop_assert_eq!(places.len(), ranked.len());
        prop_assert!(places.iter().all(|&place| place < names.len()));

        let reversed: Vec<&String> = names.iter().rev().collect();
        let chosen: Vec<&String> = ranked.iter().map(|&place| &names[place]).collect();
        let again: Vec<&String> =
            rank(&reversed, &program, platform).iter().map(|&place| reversed[place]).collect();
        prop_assert_eq!(chosen, again);
    }
}

#[test]
fn macos_gets_no_program_for_32_bit_intel() {
    let (short, long) = ("tokei-i686-apple-darwin.tar.gz", "tokei-x86_64-apple-darwin.tar.gz");
    for platform in ["darwin-arm64", "darwin-x86_64"] {
        assert_eq!(choose(&[short, long], "tokei", platform), Some(long));
        assert_eq!(choose(&[short], "tokei", platform), None);
        assert_eq!(choose(&["tokei_darwin_386", "tokei_linux_386"], "tokei", platform), None);
    }
}

#[test]
fn arm_hosts_get_the_newest_level_with_hard_float() {
    for (names, expected) in [
        ("x-linux-armv5 x-linux-armv6 x-linux-armv7", Some("x-linux-armv7")),
        ("x-linux-armv5 x-linux-armv6", Some("x-linux-armv6")),
        ("x_linux_arm32v5 x_linux_arm", Some("x_linux_arm")),
        ("x-linux-armv5", Some("x-linux-armv5")),
        (
            "x-armv7-unknown-linux-gnueabi x-arm-unknown-linux-gnueabihf x-armv7-unknown-linux-gnueabihf",
            Some("x-armv7-unknown-linux-gnueabihf"),
        ),
        (
            "x-armv7-unknown-linux-gnueabi x-arm-unknown-linux-gnueabihf",
            Some("x-arm-unknown-linux-gnueabihf"),
        ),
        ("x-arm-unknown-linux-gnueabi", None),
        (
            "x-armv5te-unknown-linux-gnueabi x-arm-unknown-linux-musleabi",
            Some("x-arm-unknown-linux-musleabi"),
        ),
        ("x-arm-linux-gnueabi-static", Some("x-arm-linux-gnueabi-static")),
        ("x-linux-armel x-linux-armhf", Some("x-linux-armhf")),
    ] {
        let names: Vec<&str> = names.split(' ').collect();
        assert_eq!(choose(&names, "x", "linux-arm-gnu"), expected, "{names:?}");
    }
}

#[test]
fn an_armv6_host_gets_no_armv7_asset() {
    for (names, expected) in [
        ("x-linux-armv5 x-linux-armv6 x-linux-armv7", Some("x-linux-armv6")),
        ("x-linux-arm x-linux-armv7", Some("x-linux-arm")),
        ("x-linux-armv7 x-linux-amd64", None),
        (
            "x-armv7-unknown-linux-gnueabihf x-arm-unknown-linux-gnueabihf",
            Some("x-arm-unknown-linux-gnueabihf"),
        ),
        ("x-linux-arm32v7 x-linux-armv5", Some("x-linux-armv5")),
        ("x-linux-arm64", None),
    ] {
        let names: Vec<&str> = names.split(' ').collect();
        assert_eq!(choose(&names, "x", "linux-armv6-gnu"), expected, "{names:?}");
    }
}

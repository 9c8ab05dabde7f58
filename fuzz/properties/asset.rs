//! For any names of release assets, those that are chosen are among them, each at most once, and their order does not depend on
//! that of the names. The first line is the name of the program, and each other line is one of an asset.

use rigup::internal::asset::{Platform, rank};

const PLATFORMS: [&str; 5] =
    ["linux-x86_64-gnu", "linux-aarch64-musl", "linux-arm-gnu", "linux-armv6-gnu", "darwin-arm64"];

pub(crate) fn check(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut lines = text.lines();
    let program = lines.next().unwrap_or_default();
    let names: Vec<&str> = lines.collect();
    let reversed: Vec<&str> = names.iter().rev().copied().collect();
    let [_, _, v7, v6, _] = PLATFORMS.map(|platform| {
        let platform: Platform = platform.parse().expect("this is a platform");
        assert_eq!(platform.to_string().parse::<Platform>().ok(), Some(platform));
        let mut places = rank(&names, program, platform);
        let chosen = |names: &[&str], places: &[usize]| -> Vec<String> {
            places.iter().map(|&place| names[place].to_owned()).collect()
        };
        let ranked = chosen(&names, &places);
        assert_eq!(ranked, chosen(&reversed, &rank(&reversed, program, platform)), "{platform}");
        places.sort_unstable();
        assert!(places.windows(2).all(|pair| pair[0] < pair[1]), "{platform}: {places:?}");
        ranked
    });
    assert!(v6.iter().all(|name| v7.contains(name)), "a newer processor runs what an older one does");
}

//! The link in LIB_BIN_DIR.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use crate::playground::Playground;

fn place_with_one() -> Playground {
    let place = Playground::new();
    place.fixture("good").plugin("p", &[json!({"type": "Binary", "name": "one", "binproviders": "good"})]);
    place
}

#[test]
fn a_missing_link_is_made_again_without_asking_anybody() {
    let place = place_with_one();
    place.run(&["install"]).ok();
    fs::remove_file(place.bin("one")).unwrap();
    place.run(&["install"]).ok();
    assert!(place.bin("one").exists());
    assert_eq!(place.hook_processes().len(), 1);
}

#[test]
fn a_program_of_an_app_bundle_is_installed_and_not_linked() {
    let place = Playground::new();
    place.script("X.app/Contents/MacOS/one", "#!/bin/sh\necho 1.0\n");
    place.provider("mac", "#!/bin/sh\n\"$RIGUP\" hook binary --provider mac --abspath \"$APP\" -- \"$@\"\n");
    let mut place = place;
    place.set("APP", place.path("X.app/Contents/MacOS/one"));
    fs::create_dir_all(place.bin("one").parent().unwrap()).unwrap();
    symlink("/bin/ls", place.bin("one")).unwrap();
    let record = place.run(&["install", "one", "--binproviders", "mac"]).ok().record();
    assert_eq!(record["status"], "installed");
    assert!(!place.bin("one").is_symlink(), "a link of before is taken away");
}

#[test]
fn a_lib_bin_dir_that_cannot_be_written_is_a_warning() {
    let mut place = place_with_one();
    let file = place.write("in-the-way", "");
    place.set("LIB_BIN_DIR", file.join("bin"));
    let ran = place.run(&["install"]).ok().says("warning: one: cannot link ");
    assert_eq!(ran.record()["status"], "installed");
}

#[test]
fn two_names_never_take_one_link_from_each_other() {
    let place = place_with_one();
    place.run(&["install"]).ok();
    let ours = fs::read_link(place.bin("one")).unwrap();
    let other = place.script("opt/one", "#!/bin/sh\necho 7.0\n");
    let other = other.to_str().unwrap();
    place.run(&["install", other]).exits(1).says("is the link of one; --force replaces it");
    assert_eq!(fs::read_link(place.bin("one")).unwrap(), ours);
    place.run(&["install"]).ok().says("is already installed");
    place.run(&["install", other, "--force"]).ok();
    place.run(&["install", "one"]).exits(1).says(&format!("is the link of {other}"));
}

#[test]
fn a_link_moves_on_though_a_binary_of_another_name_is_the_file_it_pointed_to() {
    let place = Playground::new();
    let (old, new) = (place.script("old", "#!/bin/sh\n"), place.script("new", "#!/bin/sh\n"));
    place.provider(
        "p",
        "#!/bin/sh\nname=${1#--name=}\nprintf '{\"type\":\"Binary\",\"name\":\"%s\",\"abspath\":\"%s\",\
        \"version\":\"1\"}' \"$name\" \"$(cat \"$DATA_DIR/../file\")\"\n",
    );
    place.write("file", old.to_str().unwrap());
    place.run(&["install", "one", "other", "--binproviders", "p"]).ok();
    fs::remove_file(&old).unwrap();
    fs::rename(&new, &old).unwrap();
    place.run(&["install", "other", "--binproviders", "p"]).ok();
    let newer = place.script("newer", "#!/bin/sh\n");
    place.write("file", newer.to_str().unwrap());
    place.run(&["install", "one", "--binproviders", "p"]).ok();
    assert_eq!(fs::read_link(place.bin("one")).unwrap(), newer);
}

//! Checks the properties of the fuzz targets on the inputs in `fuzz/corpus`. See docs/reliability.md.

use std::path::Path;

#[path = "../../fuzz/properties/archive.rs"]
mod archive;
#[path = "../../fuzz/properties/asset.rs"]
mod asset;
#[path = "../../fuzz/properties/checksum.rs"]
mod checksum;
#[path = "../../fuzz/properties/config.rs"]
mod config;
#[path = "../../fuzz/properties/hook_name.rs"]
mod hook_name;
#[path = "../../fuzz/properties/lockfile.rs"]
mod lockfile;
#[path = "../../fuzz/properties/protocol.rs"]
mod protocol;
#[path = "../../fuzz/properties/requirement.rs"]
mod requirement;

/// Checks each input in the corpus of a target.
fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut inputs = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let input = std::fs::read(&path).unwrap();
        assert!(std::panic::catch_unwind(|| check(&input)).is_ok(), "{}", path.display());
        inputs += 1;
    }
    assert!(inputs > 0, "{} is empty", folder.display());
}

#[test]
fn hook_output_parses_the_same_in_chunks_of_any_size() {
    replay("protocol", protocol::check);
}

#[test]
fn requirements_survive_conversion_to_records_and_arguments() {
    replay("requirement", requirement::check);
}

#[test]
fn settings_have_values_that_their_schema_allows() {
    replay("config", config::check);
}

#[test]
fn hook_names_parse_the_same_in_their_full_form() {
    replay("hook_name", hook_name::check);
}

#[test]
fn lock_files_parse_the_same_after_they_are_written() {
    replay("lockfile", lockfile::check);
}

#[test]
fn archives_are_unpacked_into_their_folder_or_refused() {
    replay("archive", archive::check);
}

#[test]
fn assets_are_chosen_whatever_the_order_of_their_names() {
    replay("asset", asset::check);
}

#[test]
fn checksums_are_digests_in_their_list() {
    replay("checksum", checksum::check);
}

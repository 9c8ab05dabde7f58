//! Files of a plugin that others may write.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use serde_json::json;

use crate::aftermath::nothing_is_left;
use crate::playground::Playground;

#[test]
fn row_22_a_plugin_folder_that_others_may_write_is_refused_with_path_mode_and_fix() {
    let place = Playground::new();
    place.fixture("good").plugin("p", &[json!({"type": "Binary", "name": "x", "binproviders": "good"})]);
    let path = place.path("here/plugins/p");
    let set = |mode| fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();

    set(0o777);
    let folder = path.display();
    let said = format!(
        "error: {folder}: others may write it (mode 0777): chmod o-w {folder}; or trust it all the same"
    );
    place.run(&["install"]).exits(1).says(&said);
    place.run(&["install", "--plugins", "p"]).exits(3).says("the plugin p cannot be used").says("mode 0777");
    assert!(!place.bin("x").exists());
    assert!(place.hook_processes().is_empty(), "nothing was asked for it");

    set(0o2775);
    if path.metadata().unwrap().gid() == 0 {
        place.run(&["install"]).ok();
        std::os::unix::fs::chown(&path, None, Some(12345)).unwrap();
        set(0o2775);
        let said =
            format!("error: {folder}: the group 12345 may write it (mode 2775): chmod g-w {folder}; or");
        place.run(&["install", "--force"]).exits(1).says(&said);
    }
    set(0o755);
    place.run(&["install"]).ok();
    nothing_is_left(&place);
}

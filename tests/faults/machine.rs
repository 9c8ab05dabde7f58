//! A machine that tells little of itself, and reaches nobody.

use std::fs;

use crate::kernel::{self, Namespaces};
use crate::playground::Playground;

#[test]
fn row_34_without_a_network_a_machine_id_and_dmi_everything_local_works_and_the_guid_is_stable() {
    let mut place = Playground::new();
    place.fixture("good");
    let Some(inside) = Namespaces::new(&["--mount", "--net"]) else { return };
    if !kernel::is_root() {
        return;
    }
    inside.sh(
        &place,
        "for it in /etc/machine-id /var/lib/dbus/machine-id; do\n\
            [ ! -e $it ] || mount --bind /dev/null $it\n\
        done\n\
        for it in /sys/class/dmi /sys/devices/virtual/dmi; do\n\
            [ ! -e $it ] || mount -t tmpfs none $it\n\
        done\n\
        for it in /usr/sbin/dmidecode; do [ ! -e $it ] || mount --bind /dev/null $it; done\n\
        ! ip route get 192.0.2.1 2>/dev/null",
    );
    inside.run(&place, &["install", "one", "--binproviders", "good"]).ok();
    inside.run(&place, &["install", "sh", "--binproviders", "env"]).ok();
    inside.run(&place, &["load", "sh"]).ok();
    inside.run(&place, &["exec", "--", "one"]).ok();
    let run = inside.run(&place, &["start", "--slug", "s", "--", "true"]).ok().record();
    inside.run(&place, &["process", "wait", run["id"].as_str().unwrap()]).ok();
    place.script("here/plugins/p/on_Snapshot__10_p.sh", "#!/bin/sh\n");
    inside.run(&place, &["run", "Snapshot"]).ok();
    inside.run(&place, &["process", "gc"]).ok();

    let machine = || {
        let records = inside.run(&place, &["machine", "show"]).ok().records();
        let machine = records.iter().find(|it| it["type"] == "Machine").unwrap().clone();
        (machine["guid"].clone(), machine["guid_source"].clone(), machine["id"].clone())
    };
    let first = machine();
    assert_eq!(first.1, "random");
    assert_eq!(machine(), first);
    // It stays what it is where the system has an id again.
    let outside = place.run(&["machine", "show"]).ok().records();
    assert_eq!(outside[0]["guid"], first.0);
    assert_eq!(place.living(), []);
    place.set("RIGUP_DATA_DIR", place.path("other"));
    inside.run(&place, &["install", "one", "--binproviders", "good"]).ok();
    assert_ne!(fs::read_to_string(place.path("other/machine-id")).unwrap(), "");
}

//! A machine without a network, a machine id or DMI.

use std::fs;

use crate::kernel::{self, Namespaces};
use crate::test_context::TestContext;

#[test]
fn row_34_rigup_works_without_a_network_a_machine_id_and_dmi() {
    let mut context = TestContext::new();
    context.fixture("good");
    let Some(namespaces) = Namespaces::new(&["--mount", "--net"]) else { return };
    if !kernel::is_root() {
        return;
    }
    namespaces.sh(
        &context,
        "for file in /etc/machine-id /var/lib/dbus/machine-id /usr/sbin/dmidecode; do\n\
            [ ! -e $file ] || mount --bind /dev/null $file\n\
        done\n\
        for folder in /sys/class/dmi /sys/devices/virtual/dmi; do\n\
            [ ! -e $folder ] || mount -t tmpfs none $folder\n\
        done\n\
        ! ip route get 192.0.2.1 2>/dev/null",
    );
    namespaces.run(&context, &["install", "one", "--binproviders", "good"]).succeeds();
    namespaces.run(&context, &["install", "sh", "--binproviders", "env"]).succeeds();
    namespaces.run(&context, &["load", "sh"]).succeeds();
    namespaces.run(&context, &["exec", "--", "one"]).succeeds();
    let run = namespaces.run(&context, &["start", "--slug", "s", "--", "true"]).succeeds().record();
    namespaces.run(&context, &["process", "wait", run["id"].as_str().unwrap()]).succeeds();
    context.script("here/plugins/p/on_Snapshot__10_p.sh", "#!/bin/sh\n");
    namespaces.run(&context, &["run", "Snapshot"]).succeeds();
    namespaces.run(&context, &["process", "gc"]).succeeds();

    let machine = || {
        let records = namespaces.run(&context, &["machine", "show"]).succeeds().records();
        let machine = records.iter().find(|record| record["type"] == "Machine").unwrap().clone();
        (machine["guid"].clone(), machine["guid_source"].clone(), machine["id"].clone())
    };
    let first = machine();
    assert_eq!(first.1, "random");
    assert_eq!(machine(), first);
    // The guid stays the same after the system gets an id again.
    let outside = context.run(&["machine", "show"]).succeeds().records();
    assert_eq!(outside[0]["guid"], first.0);
    assert_eq!(context.live_processes(), []);
    context.set("RIGUP_DATA_DIR", context.path("other"));
    namespaces.run(&context, &["install", "one", "--binproviders", "good"]).succeeds();
    assert_ne!(fs::read_to_string(context.path("other/machine-id")).unwrap(), "");
}

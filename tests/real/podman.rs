//! Real podman with an image that is made from a folder, in a storage that only the test uses. Docker needs a daemon, so
//! podman, which takes the same commands, also stands in for it.

use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use crate::kernel::{Namespaces, has, is_root, print_skipped};
use crate::test_context::TestContext;

/// Makes the image `localhost/tiny:$1` from busybox and the libraries that it needs.
const MAKE_IMAGE: &str = "rm -rf root && mkdir -p root/bin && cp /bin/busybox root/bin/sh\n\
    for file in $(ldd /bin/busybox | grep -o '/[^ ]*'); do\n\
    mkdir -p root/${file%/*} && cp -L $file root/$file\n\
    done\n\
    printf '#!/bin/sh\\necho tiny %s\\necho \"$PWD|$*\"\\nread -r line && echo \"$line\"\\n: >made\\n' $1 >root/bin/tiny\n\
    chmod 755 root/bin/tiny\n\
    tar -C root -cf root.tar .\n\
    podman import --quiet --change \"$2\" root.tar localhost/tiny:$1\n";

#[test]
#[ignore = "needs podman and busybox: run with --ignored"]
fn podman_runs_an_image_by_its_digest_in_the_current_folder() {
    check_engine("podman");
}

#[test]
#[ignore = "needs podman and busybox: run with --ignored"]
fn docker_that_is_podman_runs_an_image_by_its_digest() {
    check_engine("docker");
}

/// Checks the provider of an engine, with podman as the program of that name.
fn check_engine(provider: &str) {
    if !is_root() || !has("podman") || !has("busybox") {
        return;
    }
    let mut context = TestContext::new();
    let storage = format!(
        "[storage]\ndriver = \"vfs\"\nrunroot = \"{}\"\ngraphroot = \"{}\"\n",
        context.path("run").display(),
        context.path("images").display()
    );
    let engine = "[containers]\ncgroups = \"disabled\"\nnetns = \"none\"\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n\
        [engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"none\"\n";
    let storage = context.write("podman/storage.conf", storage);
    let engine = context.write("podman/containers.conf", engine);
    context.set("CONTAINERS_STORAGE_CONF", storage).set("CONTAINERS_CONF", engine);
    let engines = context.path("engines");
    std::fs::create_dir(&engines).unwrap();
    if provider != "podman" {
        symlink("/usr/bin/podman", engines.join(provider)).unwrap();
    }
    context.set("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", engines.display()));
    let Some(namespaces) = Namespaces::new(&["--mount"]) else { return };
    let sh = |script: &str| namespaces.sh(&context, script);
    sh("mount -t cgroup2 none /sys/fs/cgroup");
    let make = |version: &str, change: &str| sh(&format!("set -- {version} '{change}'\n{MAKE_IMAGE}"));
    let install = |overrides: Value| -> Value {
        let line = json!({"type": "Binary", "name": "tiny", "binproviders": provider, "overrides": {provider: overrides}});
        context.plugin("p", &[line]);
        namespaces.run(&context, &["install", "--force"]).records().remove(0)
    };
    make("1.7", "ENTRYPOINT [\"/bin/tiny\"]");
    if !sh("podman run --rm localhost/tiny:1.7 </dev/null >&2 || echo failed").stdout.is_empty() {
        print_skipped("podman cannot run a container");
        return;
    }

    let record = install(json!({"image": "localhost/tiny:1.7"}));
    assert_eq!(record["version"], "1.7", "{record}");
    let package_version = record["package_version"].as_str().unwrap();
    assert!(package_version.starts_with("1.7@sha256:"), "{package_version}");
    let link = context.bin("tiny");
    let program = std::fs::read_to_string(record["abspath"].as_str().unwrap()).unwrap();
    assert!(program.contains(&format!("exec {provider} run ")), "{program}");
    let run = format!("mkdir -p 'a b' && cd 'a b' && echo input | {} '$x' \"it's\" && ls -A", link.display());
    let output = sh(&run).stdout;
    assert!(
        output.starts_with("tiny 1.7\n") && output.ends_with("/here/a b|$x it's\ninput\nmade\n"),
        "{output}"
    );

    make("1.7", "ENV x=1");
    assert_eq!(sh(&run).stdout, output, "a tag that was moved changes nothing");
    let moved = install(json!(["localhost/tiny:1.7"]));
    assert_ne!(moved["package_version"], package_version);
    assert_eq!(sh(&run).stdout, output, "without an entrypoint, the program of that name runs");

    let missing = install(json!({"image": "localhost/none:1.0"}));
    let attempt = &missing["attempts"][0];
    assert_eq!(attempt["outcome"], "failed");
    assert!(attempt["reason"].as_str().unwrap().contains("localhost/none:1.0"), "{attempt}");
    let odd = install(json!({"image": "--privileged"}));
    assert_eq!(odd["attempts"][0]["outcome"], "declined", "{odd}");
    assert_eq!(sh(&run).stdout, output, "a failed attempt changes nothing");
}

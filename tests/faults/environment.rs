//! What the environment holds: secrets, and bytes that are no text.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use serde_json::json;

use crate::RECORD;
use crate::aftermath::nothing_is_left;
use crate::playground::{Playground, Ran, wait_until};

/// What every secret here begins with.
const CANARY: &str = "canary-91c2";

/// Exits 9 where one of the secrets did not come in.
const SEES: &str = "for it in \"$MY_SECRET_TOKEN\" \"$PLAIN\" \"$W_PIN\"; do\n\
    case $it in canary-*) ;; *) exit 9 ;; esac; done";

#[test]
fn row_21_no_file_and_no_output_of_rigup_shows_a_secret_that_hooks_were_given() {
    let mut place = Playground::new();
    // By its name a secret, by no name one, and one that its plugin says to be one, from a file.
    place.set("MY_SECRET_TOKEN", format!("{CANARY}-token")).set("PLAIN", format!("{CANARY}-plain"));
    let pin = json!({"type": "string", "default": "", "x-sensitive": true});
    for folder in ["plugins/w", "providers/good", "providers/bad"] {
        let config = json!({"type": "object", "properties": {"W_PIN": pin}});
        place.write(&format!("here/{folder}/config.json"), config.to_string());
    }
    place.write("here/rigup.toml", format!("W_PIN = \"{CANARY}-pin\"\n"));
    place.provider("good", &format!("#!/bin/sh\n{SEES}\necho '{RECORD}'\n"));
    place.provider("bad", &format!("#!/bin/sh\n{SEES}\necho 'no luck' >&2\nexit 1\n"));
    for (kind, then) in [("", ""), (".finite.bg", ""), (".daemon.bg", "; exec sleep 600")] {
        let hook = format!("#!/bin/sh\n{SEES}\necho '{{\"type\":\"Seen\"}}'{then}\n");
        place.script(&format!("here/plugins/w/on_E__1_a{kind}.sh"), &hook);
    }
    // A command is no plugin's.
    let command = SEES.replace(" \"$W_PIN\"", "");

    let mut said: Vec<Ran> = Vec::new();
    let page = place.path("page.html");
    let timings = format!("--timings={}", page.display());
    said.push(place.run(&["install", "x", "-v", "--binproviders", "bad,good", &timings]).ok());
    said.push(place.run(&["install", "y", "-v", "--binproviders", "bad"]).exits(1));
    let event = place.run(&["run", "-v", "E"]).ok();
    assert_eq!(event.records().iter().filter(|it| it["type"] == "Seen").count(), 3, "each was given them");
    said.push(event);
    said.push(place.run(&["exec", "--", "sh", "-c", &command]).ok());
    let run = place.run(&["start", "--slug", "s", "--", "sh", "-c", &command]).ok();
    let id = run.record()["id"].as_str().unwrap().to_owned();
    said.push(run);
    said.push(place.run(&["process", "wait", &id]).ok());
    wait_until("its waiter is gone", || place.living().is_empty());
    for args in [
        &["process", "list", "--json"][..],
        &["process", "show", &id],
        &["process", "tree"],
        &["binary", "list", "--json"],
        &["machine", "show"],
        &["plugin", "show", "w"],
        &["config"],
        &["config", "--json"],
        &["install", "z", "--dry-run", "--binproviders", "good"],
    ] {
        said.push(place.run(args).ok());
    }
    for hook in place.hook_processes() {
        said.push(place.run(&["process", "logs", hook["id"].as_str().unwrap()]));
        assert_eq!(hook["env"]["W_PIN"], "***");
    }

    let shows = |text: &[u8]| memchr::memmem::find(text, CANARY.as_bytes()).is_some();
    for ran in &said {
        assert!(!shows(ran.stdout.as_bytes()) && !shows(ran.stderr.as_bytes()), "{ran:?}");
    }
    let files = walkdir::WalkDir::new(place.path("data")).into_iter().map(|it| it.unwrap().into_path());
    for file in files.filter(|it| it.is_file()).chain([page]) {
        assert!(!shows(&fs::read(&file).unwrap()), "{}", file.display());
    }
    nothing_is_left(&place);
}

#[test]
fn row_32_an_environment_that_is_not_utf8_works_and_keeps_its_bytes() {
    let bytes = |text: &[u8]| OsString::from_vec(text.to_vec());
    // What it was started with: a shell drops names that it cannot use.
    let write = |name: &str| format!("cat /proc/$$/environ >\"$DATA_DIR/env-{name}\"; :");
    let mut place = Playground::new();
    let home = place.path("").join(bytes(b"home-\xff"));
    let folder = place.path("").join(bytes(b"bin-\xfe"));
    fs::create_dir(&home).unwrap();
    fs::create_dir(&folder).unwrap();
    // Found by no other folder of PATH.
    fs::copy(place.script("tool", "#!/bin/sh\necho 1.2\n"), folder.join("tool")).unwrap();
    let path = [folder.as_os_str().as_bytes(), b":/usr/bin:/bin"].concat();
    place.set("PATH", bytes(&path)).set("HOME", home.clone()).set("X", bytes(b"\xff\xfe=\x80"));
    place.set("LC_ALL", bytes(b"\xff")).set("RIGUP_PROCESS_ID", bytes(b"\xff"));
    place.provider("p", &format!("#!/bin/sh\n{}\necho '{RECORD}'\n", write("install")));
    for (kind, name) in [("", "foreground"), (".finite.bg", "background")] {
        place.script(&format!("here/plugins/q/on_E__1_a{kind}.sh"), &format!("#!/bin/sh\n{}\n", write(name)));
    }
    let run = |args: &[&str]| {
        let mut command = place.command(args);
        Ran::from(args, &command.env(bytes(b"NAME-\xff"), bytes(b"\xc3")).output().unwrap()).ok()
    };
    run(&["install", "x", "--binproviders", "p"]);
    assert_eq!(run(&["exec", "--", "tool"]).stdout, "1.2\n", "it is found by such a folder of PATH");
    run(&["run", "E"]);
    run(&["exec", "--", "sh", "-c", &write("exec")]);
    let started = run(&["start", "--slug", "s", "--", "sh", "-c", &write("start")]).record();
    run(&["process", "wait", started["id"].as_str().unwrap()]);
    wait_until("its waiter is gone", || place.living().is_empty());
    for args in [&["config"][..], &["plugin", "list"], &["process", "tree"], &["machine", "show"]] {
        run(args);
    }

    for name in ["install", "foreground", "background", "exec", "start"] {
        let env = fs::read(place.path(&format!("data/env-{name}"))).unwrap();
        let of = |name: &[u8]| {
            let prefix = [name, b"="].concat();
            env.split(|&byte| byte == 0).find_map(|it| it.strip_prefix(&prefix[..])).map(<[u8]>::to_vec)
        };
        assert_eq!(of(b"X").unwrap(), b"\xff\xfe=\x80", "{name}");
        assert_eq!(of(b"NAME-\xff").unwrap(), b"\xc3", "{name}");
        assert_eq!(of(b"LC_ALL").unwrap(), b"\xff", "{name}");
        assert_eq!(of(b"HOME").unwrap(), home.as_os_str().as_bytes(), "{name}");
        assert!(of(b"PATH").unwrap().ends_with(&path), "{name}");
    }
    nothing_is_left(&place);
}

#[test]
fn row_32_a_path_that_no_record_can_hold_is_refused_by_name() {
    let mut place = Playground::new();
    let folder = place.path("").join(OsString::from_vec(b"here-\xff".to_vec()));
    fs::create_dir(&folder).unwrap();
    fs::copy(place.script("tool", "#!/bin/sh\necho 1.2\n"), folder.join("tool")).unwrap();
    place.set("PATH", OsString::from_vec([folder.as_os_str().as_bytes(), b":/usr/bin:/bin"].concat()));
    let ran = place.run(&["install", "tool", "--binproviders", "env"]).exits(1);
    ran.says("/tool: the path is not UTF-8; rename the file");
    nothing_is_left(&place);

    for (variable, flag) in [
        ("RIGUP_DATA_DIR", "--data-dir"),
        ("RIGUP_LIB_DIR", "--lib-dir"),
        ("RIGUP_LIB_BIN_DIR", "--lib-bin-dir"),
    ] {
        let mut place = Playground::new();
        place.set(variable, folder.join("new"));
        let ran = place.run(&["install", "sh", "--binproviders", "env"]).exits(3);
        ran.says("is not UTF-8, which no record can hold").says(&format!("choose another with {flag}"));
        assert!(!folder.join("new").exists() && !place.path("data").exists(), "nothing was made");
    }
}

//! `rigup env` in every shell that is installed here.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::pty::start_on_pty;
use crate::test_context::TestContext;

fn bin_folder(context: &TestContext) -> PathBuf {
    context.bin("x").parent().unwrap().to_owned()
}

/// Sources the output twice in a shell that has this PATH, or none, and returns the folders of its PATH then.
fn path_after(context: &TestContext, shell: &Shell, path: Option<&str>) -> Option<Vec<PathBuf>> {
    let text = context.run(&["env", "--shell", shell.format]).succeeds().stdout;
    let file = context.write("here/env", text);
    let file = file.to_str().unwrap();
    let twice = format!("{}\n{}\n{}", shell.source, shell.source, shell.print).replace("FILE", file);
    let [program, args @ ..] = shell.words else { unreachable!("a shell has a name") };
    let program = which::which(program).ok()?;
    let mut command = Command::new(program);
    command.args(args).arg(twice).env_clear().stderr(Stdio::inherit());
    if let Some(path) = path {
        command.env("PATH", path);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", shell.words.join(" "));
    let text = String::from_utf8(output.stdout).unwrap();
    Some(text.trim_end().split(':').map(PathBuf::from).collect())
}

/// A shell: its words, the format for it, how it sources a file, and how it prints its PATH.
struct Shell {
    words: &'static [&'static str],
    format: &'static str,
    source: &'static str,
    print: &'static str,
}

const PRINT: &str = "printf '%s\\n' \"$PATH\"";

/// The shells on Debian, and Nushell. The first two are always there.
const SHELLS: [Shell; 6] = [
    Shell { words: &["sh", "-c"], format: "sh", source: ". FILE", print: PRINT },
    Shell { words: &["bash", "-uc"], format: "bash", source: "source FILE", print: PRINT },
    Shell { words: &["zsh", "-fc"], format: "zsh", source: "source FILE", print: PRINT },
    Shell { words: &["busybox", "sh", "-c"], format: "sh", source: ". FILE", print: PRINT },
    Shell { words: &["fish", "-Nc"], format: "fish", source: "source FILE", print: "string join : $PATH" },
    Shell {
        words: &["nu", "-n", "-c"],
        format: "nu",
        source: "source FILE",
        print: "print ($env.PATH | str join (char esep))",
    },
];

#[test]
fn env_puts_the_folder_first_on_path_once_in_each_shell() {
    let context = TestContext::new();
    let folder = bin_folder(&context);
    let has = |path: &[PathBuf]| path.iter().filter(|entry| **entry == folder).count() == 1;
    let mut tested = 0;
    for shell in &SHELLS {
        let Some(path) = path_after(&context, shell, Some("/usr/bin:/bin")) else { continue };
        let expected = [folder.clone(), "/usr/bin".into(), "/bin".into()];
        assert_eq!(path, expected, "{}", shell.words[0]);
        let present = format!("/usr/bin:{}:/bin", folder.display());
        let path = path_after(&context, shell, Some(&present)).unwrap();
        assert!(has(&path), "{}: {path:?}", shell.words[0]);
        for path in [Some(""), None] {
            // A shell may set a PATH of its own.
            let path = path_after(&context, shell, path).unwrap();
            assert!(has(&path) && path[0] == folder, "{}: {path:?}", shell.words[0]);
            assert!(!path.contains(&PathBuf::new()), "an empty entry is the current folder");
        }
        tested += 1;
    }
    assert!(tested >= 2, "sh and bash are always there");
    assert!(!context.path("data").exists(), "it reads no records");
}

#[test]
fn env_takes_blanks_and_quotes_in_the_folder_literally() {
    let mut context = TestContext::new();
    for name in ["it's a ”typographic“ ’one‘", "#{x} (1) * ~ !", "ü/日本"] {
        let folder = context.path(name);
        context.set("RIGUP_LIB_BIN_DIR", &folder);
        for shell in &SHELLS {
            let Some(path) = path_after(&context, shell, Some("/usr/bin:/bin")) else { continue };
            assert_eq!(path, [folder.clone(), "/usr/bin".into(), "/bin".into()], "{}", shell.words[0]);
        }
    }
    // Some programs that start others from the folder would expand these.
    for name in ["a$b", "a`b", "a\"b", "a\\b"] {
        context.set("RIGUP_LIB_BIN_DIR", context.path(name));
        context.run(&["env"]).exits_with(3);
    }
}

#[test]
fn env_writes_the_formats_of_programs() {
    let mut context = TestContext::new();
    let folder = bin_folder(&context).display().to_string();
    context.set("PATH", "/usr/bin");
    let env =
        |context: &TestContext, format: &str| context.run(&["env", "--shell", format]).succeeds().stdout;
    let record: Value = serde_json::from_str(&env(&context, "json")).unwrap();
    let lib_dir = Path::new(&folder).parent().unwrap();
    assert_eq!(
        record,
        json!({
            "PATH": format!("{folder}:/usr/bin"),
            "LIB_DIR": lib_dir,
            "LIB_BIN_DIR": folder,
            "DATA_DIR": context.path("data"),
        })
    );
    assert_eq!(context.run(&["env", "--json"]).succeeds().record(), record);
    context.set("RIGUP_FORMAT", "jsonl");
    assert!(env(&context, "sh").starts_with("case "), "a shell reads it, whatever the variable says");
    assert_eq!(env(&context, "dotenv"), format!("PATH=\"{folder}:/usr/bin\"\n"));
    assert_eq!(env(&context, "github"), format!("{folder}\n"));
    let once = format!("/usr/bin:{folder}");
    context.set("PATH", &once);
    assert_eq!(env(&context, "dotenv"), format!("PATH=\"{once}\"\n"));
}

#[test]
fn install_on_a_terminal_says_how_to_put_the_folder_on_path() {
    let mut context = TestContext::new();
    let folder = bin_folder(&context).display().to_string();
    let path = std::env::var("PATH").unwrap();
    for is_on_path in [false, true] {
        if is_on_path {
            context.set("PATH", format!("{path}:{folder}"));
        }
        let words = [env!("CARGO_BIN_EXE_rigup"), "install", "sh", "--binproviders", "env", "--force"];
        let (mut terminal, mut install) = start_on_pty(&mut context, &words, 1000);
        let mut shown = Vec::new();
        // Reading from a terminal that no process has open any more fails.
        let _ = terminal.read_to_end(&mut shown);
        assert!(install.wait().unwrap().success());
        let shown = String::from_utf8(shown).unwrap();
        let hint = "the installed programs are not on PATH; add them with: eval \"$(rigup env)\"";
        assert_eq!(shown.contains(hint), !is_on_path, "{shown}");
    }
    context.set("PATH", &path);
    let other = context.path("other bin").display().to_string();
    let words =
        [env!("CARGO_BIN_EXE_rigup"), "--lib-bin-dir", &other, "install", "sh", "--binproviders", "env"];
    let (mut terminal, mut install) = start_on_pty(&mut context, &words, 1000);
    let mut shown = Vec::new();
    let _ = terminal.read_to_end(&mut shown);
    assert!(install.wait().unwrap().success());
    let hint = format!("add them with: eval \"$(rigup --lib-bin-dir '{other}' env)\"");
    assert!(String::from_utf8(shown).unwrap().contains(&hint), "{hint}");
    let install = context.run(&["install", "sh", "--binproviders", "env"]).succeeds();
    assert!(!install.stderr.contains("PATH"), "{}", install.stderr);
}

#[test]
fn a_path_that_a_format_cannot_hold_is_refused_and_never_changed() {
    let mut context = TestContext::new();
    context.set("PATH", OsString::from_vec(b"/usr/bin:/x\xff/bin".to_vec()));
    for format in ["json", "dotenv"] {
        let output = context.run(&["env", "--shell", format]).exits_with(3);
        assert_eq!(output.stdout, "");
        output.stderr_contains("its folder /x\\xff/bin is not UTF-8; remove that from PATH");
    }
    for format in ["sh", "fish", "nu", "pwsh", "github"] {
        context.run(&["env", "--shell", format]).succeeds();
    }
}

#[test]
fn the_folder_in_a_powershell_snippet_cannot_end_its_string() {
    let mut context = TestContext::new();
    context.set("RIGUP_LIB_BIN_DIR", "/a\u{201d}; id #/b\u{2019}");
    let snippet = context.run(&["env", "--shell", "pwsh"]).succeeds().stdout;
    assert!(snippet.contains("\"/a`\u{201d}; id #/b`\u{2019}\""), "{snippet}");
}

//! Programs that answer, that do not, and that cannot run.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn script(folder: &Path, name: &str, body: &str) -> PathBuf {
    let path = folder.join(name);
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs_err::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path
}

/// Asks a script for its version.
fn ask(body: &str, version_args: &[&str], known: Option<&str>) -> Result<Answer, String> {
    let folder = tempfile::tempdir().unwrap();
    script(folder.path(), "libexec/real", "echo real 4.5");
    ask_file(&script(folder.path(), "bin/tool", body), version_args, known)
}

fn ask_file(file: &Path, version_args: &[&str], known: Option<&str>) -> Result<Answer, String> {
    let interrupt = Interrupt::install().unwrap();
    let env = vec![("PATH".into(), "/usr/bin:/bin".into())];
    let version_args: Vec<String> = version_args.iter().map(|argument| (*argument).to_owned()).collect();
    let program = Program { link_name: "tool", file, version_args: &version_args };
    Prober { search_path: OsString::new(), env, interrupt: &interrupt }
        .ask(program, known)
        .map_err(|error| error.to_string())
}

fn answer(version: &str, link_kind: LinkKind) -> Answer {
    let version = Some(version.to_owned()).filter(|version| !version.is_empty());
    Answer { version, link_kind, is_timed_out: false }
}

#[test]
fn the_fingerprint_changes_with_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    fs_err::write(&path, "one").unwrap();
    let before = fingerprint(&path);
    assert_eq!(fingerprint(&path), before);
    fs_err::write(&path, "other").unwrap();
    assert_ne!(fingerprint(&path), before);
    fs_err::remove_file(&path).unwrap();
    assert_eq!(fingerprint(&path), None);
}

#[test]
fn finds_a_program_on_the_path_but_not_through_lib_bin_dir() {
    let folder = tempfile::tempdir().unwrap();
    for dir in ["links", "loop", "real"] {
        fs_err::create_dir(folder.path().join(dir)).unwrap();
    }
    script(&folder.path().join("real"), "tool", "");
    symlink("../real/tool", folder.path().join("links/tool")).unwrap();
    symlink("../links/tool", folder.path().join("loop/tool")).unwrap();
    let path =
        std::env::join_paths(["links", "", "loop", "real"].map(|dir| folder.path().join(dir))).unwrap();
    let found = find("tool", &path, &folder.path().join("links"));
    assert_eq!(found, Some(folder.path().join("real/tool")));
    assert_eq!(find("no-such-tool", &path, Path::new("/none")), None);
}

#[test]
fn only_output_with_exit_code_0_has_a_version() {
    let symlink = |version| Ok(answer(version, LinkKind::Symlink));
    assert_eq!(ask("echo tool 1.2.3", &[], None), symlink("1.2.3"));
    assert_eq!(ask("echo tool 1.2.3 >&2", &[], None), symlink("1.2.3"));
    assert_eq!(ask("[ \"$1\" = -V ] && echo 4.5 || { echo 9.9; exit 1; }", &[], None), symlink("4.5"));
    assert_eq!(ask("[ \"$1\" = -V ] && echo 4.5 || exit 127", &[], None), symlink("4.5"));
    assert_eq!(ask("[ \"$1$2\" = show-v ] && echo v7", &["show", "-v"], None), symlink("7"));
    for body in ["echo 1.0; exit 1", "exit 0", "[ \"$1\" != version ] || echo 1.0"] {
        assert_eq!(ask(body, &[], None), symlink(""), "{body}");
    }
}

#[test]
fn a_program_that_cannot_run_has_a_reason() {
    for (body, reason) in [
        (
            "echo 'lib.so: not found' >&2; exit 127",
            "cannot run: `--version` exits with 127: lib.so: not found",
        ),
        ("exit 126", "cannot run: `--version` exits with 126"),
        ("kill -SEGV $$", "cannot run: `--version` makes it crash with SIGSEGV"),
        ("kill -ILL $$", "cannot run: `--version` makes it crash with SIGILL"),
        (
            "echo 'X failed to install correctly' >&2; exit 1",
            "cannot run: `--version` exits with 1: X failed to install correctly",
        ),
    ] {
        for known in [None, Some("1.0")] {
            assert_eq!(ask(body, &[], known), Err(reason.to_owned()), "{known:?}");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let empty = script(folder.path(), "empty", "");
    fs_err::write(&empty, "").unwrap();
    assert_eq!(ask_file(&empty, &[], None), Err("cannot run: it is empty".to_owned()));
}

#[test]
fn a_program_that_runs_only_by_its_own_path_needs_a_wrapper() {
    let by_own_path = "exec \"$(dirname \"$0\")/../libexec/real\"";
    assert_eq!(ask(by_own_path, &[], None), Ok(answer("4.5", LinkKind::Wrapper)));
    assert_eq!(ask(by_own_path, &[], Some("4.6")), Ok(answer("4.6", LinkKind::Wrapper)));
    let folder = tempfile::tempdir().unwrap();
    let python = script(folder.path(), "venv/bin/python3", "echo Python 3.11.2");
    assert_eq!(ask_file(&python, &[], None), Ok(answer("3.11.2", LinkKind::Symlink)));
    fs_err::write(folder.path().join("venv/pyvenv.cfg"), "").unwrap();
    assert_eq!(ask_file(&python, &[], None), Ok(answer("3.11.2", LinkKind::Wrapper)));
    let tool = script(folder.path(), "venv/bin/pycodestyle", "echo 2.11.0");
    assert_eq!(ask_file(&tool, &[], None), Ok(answer("2.11.0", LinkKind::Symlink)));
}

#[test]
#[cfg(target_os = "linux")]
fn a_program_writes_only_into_its_temporary_folder() {
    let outside = tempfile::tempdir().unwrap();
    let file = outside.path().join("file");
    fs_err::write(&file, "before").unwrap();
    let [path, folder] = [file.as_path(), outside.path()].map(Path::display);
    let body = format!(
        "echo x >>{path}; rm -f {path}; mv {path} {folder}/b; mkdir {folder}/a; ln -s x {folder}/l; true >{folder}/n
         echo ok >here && cp here \"$TMPDIR/there\" && : >/dev/null && echo 1.0 && exit 0
         echo failed >&2; exit 1"
    );
    assert_eq!(ask(&body, &[], None), Ok(answer("1.0", LinkKind::Symlink)));
    assert_eq!(fs_err::read_to_string(&file).unwrap(), "before");
    assert_eq!(fs_err::read_dir(outside.path()).unwrap().count(), 1);
}

//! Programs that print a version, that print none, and that cannot run.

use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

fn script(folder: &Path, name: &str, body: &str) -> PathBuf {
    let path = folder.join(name);
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs_err::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path
}

/// Probes a script.
fn probe(body: &str, version_args: &[&str], known: Option<&str>) -> Result<ProbeResult, String> {
    let folder = tempfile::tempdir().unwrap();
    script(folder.path(), "libexec/real", "echo real 4.5");
    probe_file(&script(folder.path(), "bin/tool", body), version_args, known)
}

fn probe_file(file: &Path, version_args: &[&str], known: Option<&str>) -> Result<ProbeResult, String> {
    probe_within(TIMEOUT, file, version_args, known)
}

fn probe_within(
    timeout: Duration,
    file: &Path,
    version_args: &[&str],
    known: Option<&str>,
) -> Result<ProbeResult, String> {
    let interrupt = Interrupt::install().unwrap();
    let env = vec![("PATH".into(), "/usr/bin:/bin".into())];
    let version_args: Vec<String> = version_args.iter().map(|argument| (*argument).to_owned()).collect();
    let program = Program { link_name: "tool", file, version_args: &version_args };
    Prober { search_path: OsString::new(), env, interrupt: &interrupt, timeout }
        .probe(program, known)
        .map_err(|error| error.to_string())
}

fn result(version: &str, needs_wrapper: bool) -> ProbeResult {
    let version = Some(version.to_owned()).filter(|version| !version.is_empty());
    ProbeResult { version, needs_wrapper, is_timed_out: false }
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
fn the_digest_decides_if_only_the_ctime_differs() {
    let folder = tempfile::tempdir().unwrap();
    let [path, other_name] = ["x", "y"].map(|name| folder.path().join(name));
    fs_err::write(&path, "one").unwrap();
    fs_err::hard_link(&path, &other_name).unwrap();
    let (earlier, sha256) = (fingerprint(&path).unwrap(), digest::sha256(&path).unwrap());
    pass_a_tick(folder.path());
    fs_err::remove_file(&other_name).unwrap();
    let found = fingerprint(&path);
    assert_ne!(found.as_ref(), Some(&earlier));
    assert_eq!(fingerprint_if_unchanged(&path, &earlier, &sha256), found);

    let modified = path.metadata().unwrap().modified().unwrap();
    fs_err::write(&path, "two").unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(modified).unwrap();
    assert_eq!(fingerprint_if_unchanged(&path, &earlier, &sha256), None, "other content of the same size");
    fs_err::remove_file(&path).unwrap();
    fs_err::write(&path, "one").unwrap();
    assert_eq!(fingerprint_if_unchanged(&path, &earlier, &sha256), None, "another file");
}

/// Waits until a new file has another ctime than those in the folder: file systems count time in ticks of some
/// milliseconds.
fn pass_a_tick(folder: &Path) {
    let ctime = || {
        let file = tempfile::NamedTempFile::new_in(folder).unwrap();
        fingerprint(file.path()).unwrap().rsplit_once(':').unwrap().1.to_owned()
    };
    let before = ctime();
    while ctime() == before {}
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
    let symlink = |version| Ok(result(version, false));
    assert_eq!(probe("echo tool 1.2.3", &[], None), symlink("1.2.3"));
    assert_eq!(probe("echo tool 1.2.3 >&2", &[], None), symlink("1.2.3"));
    assert_eq!(probe("[ \"$1\" = -V ] && echo 4.5 || { echo 9.9; exit 1; }", &[], None), symlink("4.5"));
    assert_eq!(probe("[ \"$1\" = -V ] && echo 4.5 || exit 127", &[], None), symlink("4.5"));
    assert_eq!(probe("[ \"$1$2\" = show-v ] && echo v7", &["show", "-v"], None), symlink("7"));
    for body in ["echo 1.0; exit 1", "exit 0", "[ \"$1\" != version ] || echo 1.0"] {
        assert_eq!(probe(body, &[], None), symlink(""), "{body}");
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
        ("kill -ABRT $$", "cannot run: `--version` makes it crash with SIGABRT"),
        (
            "echo 'Error: spawn /x/lib/chromedriver ENOENT' >&2; exit 1",
            "cannot run: `--version` exits with 1: Error: spawn /x/lib/chromedriver ENOENT",
        ),
        (
            "echo 'Error: The package \"@esbuild/x\" could not be found, and is needed by esbuild.' >&2; exit 1",
            "cannot run: `--version` exits with 1: Error: The package \"@esbuild/x\" could not be found, and is \
             needed by esbuild.",
        ),
        (
            "echo 'X failed to install correctly' >&2; exit 1",
            "cannot run: `--version` exits with 1: X failed to install correctly",
        ),
    ] {
        for known in [None, Some("1.0")] {
            assert_eq!(probe(body, &[], known), Err(reason.to_owned()), "{known:?}");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let empty = script(folder.path(), "empty", "");
    fs_err::write(&empty, "").unwrap();
    assert_eq!(probe_file(&empty, &[], None), Err("cannot run: it is empty".to_owned()));
}

#[test]
fn a_path_that_contains_an_argument_is_not_taken_for_the_argument() {
    let folder = tempfile::tempdir().unwrap();
    let file = script(folder.path(), "x-V/y--version/tool", "exec /no/such/file");
    let reason = probe_file(&file, &[], None).unwrap_err();
    assert!(reason.starts_with("cannot run: `--version` exits with 127"), "{reason}");
}

#[test]
fn a_program_that_rejects_the_arguments_or_lacks_a_user_file_runs() {
    for body in [
        "echo \"$1: applet not found\" >&2; exit 127",
        "echo \"toybox: Unknown command $1\" >&2; exit 127",
        "echo \"terminate called: unrecognised option '$1'\" >&2; kill -ABRT $$",
        "echo \"FileNotFoundError: [Errno 2] No such file or directory: '$1'\" >&2; exit 1",
        "echo \"Error: ENOENT: no such file or directory, open 'package.json'\" >&2; exit 1",
        "echo 'Error: spawn git ENOENT' >&2; exit 1",
    ] {
        for known in ["", "1.0"] {
            let known = Some(known).filter(|known| !known.is_empty());
            assert_eq!(probe(body, &[], known), Ok(result(known.unwrap_or(""), false)), "{body}");
        }
    }
}

#[test]
fn a_program_that_hangs_is_tried_with_the_next_arguments_in_the_same_time() {
    let folder = tempfile::tempdir().unwrap();
    let tool = script(folder.path(), "tool", "[ \"$1\" = -V ] || exec sleep 60; echo 1.5");
    assert_eq!(probe_within(Duration::from_secs(4), &tool, &[], None), Ok(result("1.5", false)));
    let hanging = script(folder.path(), "hanging", "exec sleep 60");
    let timed_out = ProbeResult { version: None, needs_wrapper: false, is_timed_out: true };
    let start = Instant::now();
    assert_eq!(probe_within(Duration::from_secs(1), &hanging, &[], None), Ok(timed_out));
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
#[cfg(target_os = "linux")]
fn a_program_that_hangs_leaves_no_daemon_behind() {
    subreaper::become_subreaper();
    let seconds = format!("93.{}", std::process::id());
    // The test process has other children, so a process without the environment would not be attributed.
    let folder = tempfile::tempdir().unwrap();
    let hanging = script(folder.path(), "hanging", &format!("setsid sleep {seconds} & exec sleep 60"));
    probe_within(Duration::from_secs(1), &hanging, &["-V"], None).unwrap();
    let processes = crate::process::tree::entries().unwrap();
    let lines = processes.iter().map(|entry| crate::process::tree::command_line(entry.pid));
    let left: Vec<String> = lines.filter(|line| line.contains(&seconds)).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_program_that_behaves_differently_through_a_link_needs_a_wrapper() {
    for (by_link, version) in [("echo 4.4", "4.5"), ("exit 3", "4.5"), ("echo 4.5", "4.5")] {
        let body = format!("[ ! -L \"$0\" ] || {{ {by_link}; exit; }}; echo 4.5");
        let needs_wrapper = by_link != "echo 4.5";
        assert_eq!(probe(&body, &[], None), Ok(result(version, needs_wrapper)), "{by_link}");
        assert_eq!(probe(&body, &[], Some("9")), Ok(result("9", needs_wrapper)), "{by_link}");
    }
}

#[test]
fn a_program_that_misses_its_files_only_through_a_link_needs_a_wrapper() {
    let folder = tempfile::tempdir().unwrap();
    script(folder.path(), "lib/common.sh", ":");
    let tool = script(folder.path(), "bin/tool", "");
    for load in ["source", "cat <"] {
        let body =
            format!("#!/bin/bash\n{load} \"$(dirname \"$0\")/../lib/common.sh\" >/dev/null\necho 1.0\n");
        fs_err::write(&tool, body).unwrap();
        for known in [None, Some("1.0")] {
            assert_eq!(probe_file(&tool, &[], known), Ok(result("1.0", true)), "{load}");
        }
    }
}

#[test]
fn a_link_with_another_name_is_compared_with_one_of_the_same_name() {
    let folder = tempfile::tempdir().unwrap();
    script(folder.path(), "lib/version", "");
    let by_path = "[ -e \"$(dirname \"$0\")/../lib/version\" ] && echo 2.0 || echo 1.0";
    let file = script(folder.path(), "bin/sy", by_path);
    assert_eq!(probe_file(&file, &[], None), Ok(result("2.0", true)));
    let by_name = "case $0 in */tool) echo tool 1.0;; *) echo multi 2.0; echo note >&2;; esac";
    let file = script(folder.path(), "bin/multi", by_name);
    assert_eq!(probe_file(&file, &[], None), Ok(result("1.0", false)));
}

#[test]
fn a_program_that_runs_only_by_its_own_path_needs_a_wrapper() {
    let by_own_path = "exec \"$(dirname \"$0\")/../libexec/real\"";
    assert_eq!(probe(by_own_path, &[], None), Ok(result("4.5", true)));
    assert_eq!(probe(by_own_path, &[], Some("4.6")), Ok(result("4.6", true)));
    let folder = tempfile::tempdir().unwrap();
    let python = script(folder.path(), "venv/bin/python3", "echo Python 3.11.2");
    assert_eq!(probe_file(&python, &[], None), Ok(result("3.11.2", false)));
    fs_err::write(folder.path().join("venv/pyvenv.cfg"), "").unwrap();
    assert_eq!(probe_file(&python, &[], None), Ok(result("3.11.2", true)));
    let tool = script(folder.path(), "venv/bin/pycodestyle", "echo 2.11.0");
    assert_eq!(probe_file(&tool, &[], None), Ok(result("2.11.0", false)));
}

#[test]
#[cfg(target_os = "linux")]
fn a_program_signals_only_processes_that_it_started() {
    use landlock::{ABI, Access, CompatLevel, Compatible, Ruleset, RulesetAttr, Scope};
    let required = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    if required.scope(Scope::from_all(ABI::V6)).and_then(Ruleset::create).is_err() {
        return;
    }
    let body =
        format!("sleep 60 & kill $! || exit 1; kill -0 {} 2>&- && exit 1; echo 1.0", std::process::id());
    assert_eq!(probe(&body, &[], None), Ok(result("1.0", false)));
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
    assert_eq!(probe(&body, &[], None), Ok(result("1.0", false)));
    assert_eq!(fs_err::read_to_string(&file).unwrap(), "before");
    assert_eq!(fs_err::read_dir(outside.path()).unwrap().count(), 1);
}

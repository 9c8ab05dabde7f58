use std::ffi::OsString;

use fs_err::os::unix::fs::symlink;

use super::*;
use crate::model::{MachineId, ProcessSpec, ProcessType};

/// Returns a data dir with one run dir, which holds a folder with a link to a folder outside the data dir.
fn data_dir() -> (tempfile::TempDir, PathBuf, ProcessId) {
    let root = tempfile::tempdir().unwrap();
    let data_dir = root.path().join("data");
    let process_id = ProcessId::generate();
    let run_dir = path(&data_dir, process_id);
    fs_err::create_dir_all(run_dir.join("sub")).unwrap();
    fs_err::create_dir(root.path().join("outside")).unwrap();
    fs_err::write(root.path().join("outside/kept"), "").unwrap();
    symlink(root.path().join("outside"), run_dir.join("sub/link")).unwrap();
    (root, data_dir, process_id)
}

#[test]
fn removes_a_run_dir_but_not_the_targets_of_its_links() {
    let (root, data_dir, process_id) = data_dir();
    remove(&data_dir, process_id).unwrap();
    assert_eq!(fs_err::read_dir(data_dir.join(FOLDER)).unwrap().count(), 0);
    assert!(root.path().join("outside/kept").exists());
    remove(&data_dir, process_id).unwrap();
}

#[test]
fn removes_a_run_dir_that_was_removed_in_part() {
    let (_root, data_dir, process_id) = data_dir();
    let partly_removed = data_dir.join(FOLDER).join(format!("{REMOVED}{process_id}"));
    fs_err::rename(path(&data_dir, process_id), &partly_removed).unwrap();
    let found = FoundRunDir { process_id, path: partly_removed, is_partly_removed: true };
    assert_eq!(list(&data_dir).collect::<Vec<_>>(), [found]);
    remove(&data_dir, process_id).unwrap();
    assert_eq!(list(&data_dir).count(), 0);
}

#[test]
fn only_folders_that_are_named_after_a_process_are_run_dirs() {
    let (root, data_dir, process_id) = data_dir();
    let upper = ProcessId::generate().to_string().to_uppercase();
    for name in ["x", ".gone-x", &upper, &ProcessId::generate().to_string().replace('-', "")] {
        fs_err::create_dir(data_dir.join(FOLDER).join(name)).unwrap();
    }
    fs_err::write(path(&data_dir, ProcessId::generate()), "").unwrap();
    let link = path(&data_dir, ProcessId::generate());
    symlink(root.path().join("outside"), link).unwrap();
    let found: Vec<ProcessId> = list(&data_dir).map(|run_dir| run_dir.process_id).collect();
    assert_eq!(found, [process_id]);
}

#[test]
fn does_not_follow_a_link_to_remove_files() {
    let (root, data_dir, _) = data_dir();
    assert!(are_removable(&data_dir));
    let elsewhere = root.path().join("elsewhere");
    fs_err::rename(data_dir.join(FOLDER), &elsewhere).unwrap();
    symlink(&elsewhere, data_dir.join(FOLDER)).unwrap();
    assert!(!are_removable(&data_dir));
}

fn process(cwd: &Path) -> Process {
    let spec = ProcessSpec {
        plugin: "p".to_owned(),
        hook_name: "on_E__1_x.sh".to_owned(),
        ..ProcessSpec::new(ProcessType::Hook, vec!["x".to_owned()], cwd)
    };
    Process::queued(ProcessId::generate(), MachineId::generate(), spec, clock::now())
}

fn command(program: &str, args: &[OsString]) -> CommandSpec {
    CommandSpec { program: program.into(), args: args.to_vec(), env: Vec::new(), cwd: "/".into() }
}

#[test]
fn a_run_dir_that_cannot_be_written_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let process = process(Path::new("/"));
    let create =
        |program: &str| RunDir::create(path.clone(), &process, &command(program, &[]), Some(b"input"));
    create("no\0program").unwrap_err();
    assert!(!path.exists());
    fs_err::create_dir_all(path.join("cmd.sh")).unwrap();
    create("program").unwrap_err();
    assert!(!path.exists());
    create("program").unwrap();
    assert!(path.join("cmd.sh").exists());
}

#[test]
fn cmd_sh_runs_the_same_command_and_the_record_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let words: Vec<OsString> =
        ["%s\\n", "a b", "$HOME", "'\"`;*", "", "new\nline", "ü", "-x"].map(Into::into).into();
    let mut process = process(folder.path());
    let path = folder.path().join("run");
    let run_dir = RunDir::create(path.clone(), &process, &command("printf", &words), None).unwrap();
    let out = assert_cmd::Command::new("sh").arg(run_dir.path().join("cmd.sh")).output().unwrap();
    let expected: Vec<_> = words[1..].iter().map(|word| word.to_string_lossy()).collect();
    assert_eq!(String::from_utf8_lossy(&out.stdout), expected.join("\n") + "\n");
    process.spec.run_dir = Some(path);
    assert_eq!(run_dir.read_process(), Some(process));
}

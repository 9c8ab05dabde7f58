//! `rigup hook verify`, `unpack` and `program`: what a hook downloads becomes a program.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use crate::release_server::sha256;
use crate::test_context::{CommandOutput, TestContext, signal, wait_until};

/// Packs a folder with the system's tar.
fn pack(context: &TestContext, folder: &str, archive: &str) -> String {
    let path = context.path(archive).to_str().unwrap().to_owned();
    let packed = Command::new("tar")
        .args(["--create", "--auto-compress", "--file", &path, folder])
        .current_dir(context.path(""))
        .status();
    assert!(packed.unwrap().success());
    path
}

#[test]
fn a_packed_folder_is_the_same_after_it_is_unpacked() {
    let context = TestContext::new();
    context.script("tool-1.0/bin/tool", "#!/bin/sh\necho tool 1.0\n");
    context.write("tool-1.0/share/a text", "text");
    symlink("bin/tool", context.path("tool-1.0/tool")).unwrap();
    for archive in ["tool.tar", "tool.tar.gz"] {
        let archive = pack(&context, "tool-1.0", archive);
        let out = context.path("a new/folder");
        let unpack = ["hook", "unpack", &archive, out.to_str().unwrap()];
        assert_eq!(context.run(&unpack).succeeds().stderr, "");
        let output = Command::new(out.join("tool-1.0/tool")).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "tool 1.0\n");
        let text = fs::metadata(out.join("tool-1.0/share/a text")).unwrap();
        assert_eq!(text.permissions().mode() & 0o111, 0);
        context.run(&unpack).exits_with(3).stderr_contains("is not an empty folder; name another one");
        fs::remove_dir_all(context.path("a new")).unwrap();
    }
}

#[test]
fn a_damaged_archive_has_a_reason_and_leaves_nothing() {
    let context = TestContext::new();
    context.write("tool/large", vec![b'x'; 100_000]);
    let archive = pack(&context, "tool", "tool.tar.gz");
    let whole = fs::read(&archive).unwrap();
    fs::write(&archive, &whole[..whole.len() / 2]).unwrap();
    let out = context.path("parent/out");
    let run = context.run(&["hook", "unpack", &archive, out.to_str().unwrap()]).exits_with(1);
    let expected = format!("error: cannot unpack {archive}: it is damaged or incomplete: ");
    assert!(run.stderr.starts_with(&expected), "{}", run.stderr);
    assert_eq!(fs::read_dir(context.path("parent")).unwrap().count(), 0);
    for (file, reason) in
        [("none", "No such file or directory (os error 2)"), ("tool", "it is not a regular file")]
    {
        let file = context.path(file);
        let arguments = ["hook", "unpack", file.to_str().unwrap(), out.to_str().unwrap()];
        let expected = format!("error: cannot unpack {}: {reason}\n", file.display());
        assert_eq!(context.run(&arguments).exits_with(3).stderr, expected);
    }
}

#[test]
fn what_an_archive_says_is_never_a_failure_of_rigup() {
    let context = TestContext::new();
    let unpack = |file: &Path, reason: &str| {
        let arguments = ["hook", "unpack", file.to_str().unwrap(), "out"];
        context.run(&arguments).exits_with(1).stderr_contains(reason);
    };
    let mut tar = tar::Builder::new(Vec::new());
    let mut link = tar::Header::new_ustar();
    link.set_entry_type(tar::EntryType::Symlink);
    link.set_path("x").unwrap();
    link.set_size(0);
    link.set_cksum();
    tar.append(&link, &b""[..]).unwrap();
    let mut packed = tar.into_inner().unwrap();
    unpack(&context.write("empty.tar", &packed), "it contains the link \"x\", whose target is empty");
    packed[148] ^= 1;
    unpack(&context.write("damaged.tar", &packed), "its name ends with .tar");
    let mut tar = tar::Builder::new(Vec::new());
    let mut file = tar::Header::new_gnu();
    file.set_size(0);
    file.set_mode(0o644);
    tar.append_data(&mut file, "n".repeat(300), &b""[..]).unwrap();
    let long = context.write("long.tar", tar.into_inner().unwrap());
    unpack(&long, "which is not possible in this file system");
}

#[test]
fn an_interrupt_leaves_nothing_behind() {
    let context = TestContext::new();
    // It takes seconds to unpack this in a test, and a moment to start.
    fs::File::create(context.write("tool/large", "")).unwrap().set_len(150 << 20).unwrap();
    let archive = pack(&context, "tool", "tool.tar.gz");
    let out = context.path("parent/out");
    let mut child = context.start(&["hook", "unpack", &archive, out.to_str().unwrap()]);
    wait_until("rigup unpacks", || fs::read_dir(context.path("parent")).is_ok_and(|found| found.count() > 0));
    signal(child.id(), Signal::SIGTERM);
    assert!(!child.wait().unwrap().success());
    assert_eq!(fs::read_dir(context.path("parent")).unwrap().count(), 0);
}

#[test]
fn the_path_of_the_program_is_printed_or_the_programs_are_listed() {
    let context = TestContext::new();
    let folder = context.path("a b");
    let tool = context.script("a b/tool-1.0/bin/tool", "#!/bin/sh\n");
    context.script("a b/tool-1.0/bin/other", "#!/bin/sh\n");
    let program = |name| ["hook", "program", folder.to_str().unwrap(), "--name", name];
    assert_eq!(context.run(&program("tool")).succeeds().stdout, format!("{}\n", tool.display()));
    let error = format!(
        "error: '{}' has several programs; name one of them with `--bin`: tool-1.0/bin/other and tool-1.0/bin/tool\n",
        folder.display()
    );
    assert_eq!(context.run(&program("x")).exits_with(1).stderr, error);
    let of_provider = [&program("x")[..], &["--provider", "github"]].concat();
    let error = "error: the archive has several programs; set overrides.github.bin to one of them: tool-1.0/bin/other and tool-1.0/bin/tool\n";
    assert_eq!(context.run(&of_provider).exits_with(1).stderr, error);
    let with_bin = [&program("x")[..], &["--bin", "bin/t*"]].concat();
    assert_eq!(context.run(&with_bin).succeeds().stdout, format!("{}\n", tool.display()));
    let missing = context.run(&["hook", "program", "/no/such/folder", "--name", "x"]).exits_with(3);
    missing.stderr_contains("error: cannot read /no/such/folder: No such file or directory");
}

#[test]
fn a_file_is_verified_by_whatever_is_given() {
    let context = TestContext::new();
    let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let file = context.write("x.gz", "abc").to_str().unwrap().to_owned();
    let lists = [
        context.write("none", "no checksums"),
        context.write("SHA256SUMS", format!("{digest}  x.gz\n{digest}  y.gz\n{}  z.gz\n", "0".repeat(64))),
    ];
    let [none, list] = lists.each_ref().map(|path| path.to_str().unwrap());
    let verify = |options: &[&str]| context.run(&[&["hook", "verify", &file], options].concat());
    assert_eq!(verify(&["--sha256", &digest.to_uppercase()]).succeeds().stderr, "");
    verify(&["--checksums", none, "--checksums", list]).succeeds();
    verify(&["--checksums", list, "--name", "y.gz", "--sha256", digest]).succeeds();
    let stated = format!("error: {file} has the digest {digest}, but SHA256SUMS states 000");
    assert!(verify(&["--checksums", list, "--name", "z.gz"]).exits_with(1).stderr.starts_with(&stated));
    verify(&["--sha256", &"0".repeat(64)]).exits_with(1).stderr_contains("but --sha256 states 000");
    verify(&["--checksums", none]).exits_with(10).stderr_contains("no list has a checksum of x.gz");
    context.write("x.gz.sha256", "Not Found\n");
    let unreadable = context.path("x.gz.sha256");
    let unreadable = unreadable.to_str().unwrap();
    verify(&["--checksums", unreadable])
        .exits_with(1)
        .stderr_contains("x.gz.sha256 has no checksum of x.gz that can");
    verify(&["--checksums", unreadable, "--checksums", list]).succeeds();
    verify(&["--minisign", none, "--key", "x"]).exits_with(1).stderr_contains("the public key of minisign");
    verify(&["--checksums", "/no/such/list"]).exits_with(3);
    for wrong in [&[][..], &["--sha256", "abc"], &["--key", "x"], &["--minisign", none]] {
        verify(wrong).exits_with(2);
    }
}

#[test]
fn the_exact_name_in_a_list_wins_over_the_same_name_in_a_folder() {
    let context = TestContext::new();
    let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let (other, file) = ("0".repeat(64), context.write("tool", "abc"));
    for (list, code) in [
        (format!("{other}  darwin/tool\n{digest}  linux/tool\n{digest}  tool\n"), 0),
        (format!("{other}  darwin/tool\n{digest} *./tool\n"), 0),
        (format!("{digest}  linux/tool\n{other}  tool\n"), 1),
        (format!("{digest}  linux/tool\n"), 0),
    ] {
        let list = context.write("SHA256SUMS", list);
        let paths = [&file, &list].map(|path| path.to_str().unwrap());
        context.run(&["hook", "verify", paths[0], "--checksums", paths[1]]).exits_with(code);
    }
}

#[test]
fn a_file_that_cannot_be_read_is_not_one_without_a_checksum() {
    let context = TestContext::new();
    let list = context.write("SHA256SUMS", format!("{}  other\n", "0".repeat(64)));
    std::fs::create_dir(context.path("folder")).unwrap();
    nix::unistd::mkfifo(&context.path("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let list = list.to_str().unwrap();
    for file in ["nosuch", "folder", "fifo"] {
        let (path, file) = (context.path(file), context.path(file).to_str().unwrap().to_owned());
        let output = context.run(&["hook", "verify", &file, "--checksums", list]).exits_with(3);
        output.stderr_contains(&format!("cannot verify {}: ", path.display()));
        for options in [&["--checksums", &file][..], &["--minisign", &file, "--key", "x"]] {
            let output = context.run(&[&["hook", "verify", list], options].concat()).exits_with(3);
            output.stderr_contains(&file);
        }
    }
}

#[test]
fn a_list_of_checksums_may_come_from_a_pipe() {
    let context = TestContext::new();
    let file = context.write("tool", "tool\n");
    let digest = sha256(b"tool\n");
    let verify = |list: &str, file: &str| {
        let script = format!("\"$RIGUP\" hook verify '{file}' --checksums <({list})");
        let mut bash = Command::new("bash");
        bash.args(["-c", &script]).env("RIGUP", env!("CARGO_BIN_EXE_rigup")).stdin(Stdio::piped());
        CommandOutput::new(&[&script], &bash.output().unwrap())
    };
    let file = file.to_str().unwrap();
    verify(&format!("echo '{digest}  tool'"), file).succeeds();
    verify(&format!("echo '{}  tool'", "0".repeat(64)), file).exits_with(1);
    verify("echo other", file).exits_with(10);
    verify("head -c 5000000 /dev/zero", file)
        .exits_with(3)
        .stderr_contains(": it has more than 4194304 bytes");
    verify("echo", "/dev/stdin").exits_with(3).stderr_contains("/dev/stdin: it is not a regular file");
}

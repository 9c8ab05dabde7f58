//! The Dockerfile in docs/containers.md, whose steps run in plain folders in place of images.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::json;

use crate::test_context::TestContext;

/// A provider whose program prints where it is.
const GREET: &str = r#"#!/bin/sh
set -eu
eval "$("$RIGUP" hook begin --provider greet -- "$@")"
mkdir -p "$prefix"
printf '#!/bin/sh\necho "hello 1.0 from $0"\n' >"$prefix/hello"
chmod +x "$prefix/hello"
"$RIGUP" hook binary --provider greet --abspath "$prefix/hello" -- "$@"
"#;

/// An image that is built in a folder.
struct Image {
    root: PathBuf,
    workdir: PathBuf,
    variables: Vec<(String, String)>,
    user: String,
}

impl Image {
    fn new(root: PathBuf) -> Self {
        for folder in ["usr/local/bin", "tmp"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        let path = format!("{}:/usr/bin:/bin", root.join("usr/local/bin").display());
        let variables = vec![("PATH".to_owned(), path)];
        Self { workdir: root.clone(), root, variables, user: String::new() }
    }

    /// Returns a path of the image in its folder.
    fn path(&self, path: &str) -> PathBuf {
        path.strip_prefix('/').map_or_else(|| self.workdir.join(path), |path| self.root.join(path))
    }

    /// Sets variables as `ENV` does. A value is a list of paths of the image, and may contain `$PATH`.
    fn set(&mut self, assignments: &str) {
        for (name, value) in assignments.split(' ').filter_map(|assignment| assignment.split_once('=')) {
            let of_image = |path: &str| match path {
                "$PATH" => self.variables.iter().find(|(name, _)| name == "PATH").unwrap().1.clone(),
                path => self.path(path).display().to_string(),
            };
            let value: Vec<String> = value.split(':').map(of_image).collect();
            self.variables.retain(|(known, _)| known != name);
            self.variables.push((name.to_owned(), value.join(":")));
        }
    }

    fn run(&self, command: &str) -> Output {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", command]).env_clear().current_dir(&self.workdir).env("HOME", self.path("/root"));
        shell.envs(self.variables.iter().map(|(name, value)| (name, value))).output().unwrap()
    }
}

/// Copies a file, a link, or the contents of a folder.
fn copy(from: &Path, to: &Path) {
    let into = if from.is_dir() { to.to_owned() } else { to.parent().unwrap().to_owned() };
    fs::create_dir_all(&into).unwrap();
    let from = if from.is_dir() { from.join(".") } else { from.to_owned() };
    assert!(Command::new("cp").arg("-RP").args([&from, to]).status().unwrap().success());
}

#[test]
fn the_dockerfile_of_the_documentation_builds_an_image_for_another_user() {
    let context = TestContext::new();
    context.plugin("app", &[json!({"type": "Binary", "name": "hello", "binproviders": "greet"})]);
    context.provider("greet", GREET);
    context.run(&["lock"]).succeeds();
    let build = context.path("here");
    symlink(env!("CARGO_BIN_EXE_rigup"), build.join("rigup")).unwrap();
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/containers.md")).unwrap();
    let dockerfile = page.split("```dockerfile\n").nth(1).unwrap().split("```").next().unwrap();
    let mut images: Vec<Image> = Vec::new();
    let mut command = "";
    for line in dockerfile.lines().filter(|line| !line.is_empty()) {
        let (instruction, rest) = line.split_once(' ').unwrap();
        let count = images.len();
        let (earlier, image) = match instruction {
            "FROM" => {
                images.push(Image::new(context.path(&format!("image{count}"))));
                continue;
            }
            _ => images.split_last_mut().map(|(image, earlier)| (earlier, image)).unwrap(),
        };
        match (instruction, rest.split(' ').collect::<Vec<_>>().as_slice()) {
            ("COPY", ["--from=tools", from, to]) => copy(&earlier[0].path(from), &image.path(to)),
            ("COPY", [from, "."]) => copy(&build.join(from), &image.workdir.join(from)),
            ("COPY", [from, to]) if to.ends_with('/') => copy(&build.join(from), &image.path(to).join(from)),
            ("COPY", [from, to]) => copy(&build.join(from), &image.path(to)),
            ("ENV", _) => image.set(rest),
            ("WORKDIR", [folder]) => {
                image.workdir = image.path(folder);
                fs::create_dir_all(&image.workdir).unwrap();
            }
            // The test itself cannot add users.
            ("RUN", ["useradd", "--system", user]) => image.user = (*user).to_owned(),
            ("RUN", _) => {
                let output = image.run(rest);
                assert!(output.status.success(), "{rest}: {}", String::from_utf8_lossy(&output.stderr));
            }
            ("USER", [user]) => assert_eq!(image.user, *user),
            ("CMD", [program]) => command = program.trim_matches(['[', ']', '"']),
            _ => panic!("{line}: an instruction that the test does not know"),
        }
    }
    let image = images.last().unwrap();
    let output = image.run(command);
    let expected = format!("hello 1.0 from {}\n", image.path("/opt/rigup/bin/hello").display());
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    let files = walkdir::WalkDir::new(&image.root).into_iter().map(Result::unwrap);
    for file in files.filter(|file| !file.path_is_symlink() && !file.path().ends_with(".locks")) {
        let mode = file.metadata().unwrap().permissions().mode();
        let needed = if file.file_type().is_dir() { 0o005 } else { 0o004 };
        assert_eq!(mode & needed, needed, "{} has the mode {mode:o}", file.path().display());
    }
    assert!(
        !image.root.join("var").exists()
            && fs::read_dir(image.root.join("usr/local/bin")).unwrap().count() == 0
    );
}

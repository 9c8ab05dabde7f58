//! The version of a program in the metadata of the package manager that installed it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use memchr::memmem;
use serde_json::Value;

use crate::install::module;
use crate::plugin::config::provider::PackageMetadata;
use crate::process::signals::Interrupt;
use crate::settings::Settings;
use crate::sorting::sort;

mod identity;
mod system;

pub(crate) use identity::Package;
pub(super) use identity::upstream_version;
use system::Database;

/// The folder of Node packages.
pub(super) const NODE_MODULES: &str = "node_modules";

/// The folder of Python packages in a venv.
const SITE_PACKAGES: &str = "site-packages";

/// Returns the package that owns a program, or `None` if the metadata names none.
pub(crate) fn owner(
    metadata: PackageMetadata,
    program: &Path,
    settings: &Settings,
    interrupt: &Interrupt,
) -> Option<Package> {
    let bin = program.parent()?;
    let name = program.file_name()?.to_str()?;
    let of_system = |database| system::owner(database, program, settings, interrupt).ok()?;
    match metadata {
        PackageMetadata::DistInfo => dist_info(program),
        PackageMetadata::PackageJson => package_json(program),
        PackageMetadata::Crates => crates_toml(&bin.join("../.crates.toml"), name),
        PackageMetadata::Gemspec => gemspec(&bin.join("../specifications"), name),
        PackageMetadata::Go => go_module(program),
        PackageMetadata::Cellar => cellar(program),
        PackageMetadata::Dpkg => of_system(Database::Dpkg),
        PackageMetadata::Rpm => of_system(Database::Rpm),
        PackageMetadata::Pacman => of_system(Database::Pacman),
        PackageMetadata::Nix => nix_store(program),
        PackageMetadata::Image => image_of(program),
    }
}

/// Returns the entries of a folder, sorted; none if it cannot be read.
pub(super) fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs_err::read_dir(folder).into_iter().flatten().flatten();
    let mut entries: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    sort(&mut entries);
    entries
}

/// Returns the Python module of this name in the venv that has this folder of programs, or `None` if there is none.
pub(crate) fn python_module(bin: &Path, name: &str) -> Option<PathBuf> {
    let name = name.replace(['-', '.'], "_");
    let files = [format!("{name}/__init__.py"), format!("{name}.py")];
    let folders = site_packages(bin).into_iter();
    folders
        .flat_map(|folder| files.each_ref().map(|file| folder.join(file)))
        .find(|file| module::is_module(file))
}

/// Returns whether the venv that has this folder of programs has a module, such as `package.module`.
pub(super) fn has_python_module(bin: &Path, module: &str) -> bool {
    let path: PathBuf = module.split('.').collect();
    let is_found = |folder: &PathBuf| {
        let file = folder.join(&path);
        file.is_dir() || file.with_extension("py").exists()
    };
    module.split('.').all(|name| !name.is_empty()) && site_packages(bin).iter().any(is_found)
}

/// Returns the folders of Python packages in the venv that has this folder of programs.
fn site_packages(bin: &Path) -> Vec<PathBuf> {
    let venv = bin.parent().unwrap_or(bin);
    let pythons = entries(&venv.join("lib")).into_iter();
    pythons.map(|python| python.join(SITE_PACKAGES)).filter(|folder| folder.is_dir()).collect()
}

/// Returns the folder of Python packages that contains a module, or `None` if it is not in one.
fn site_packages_of(file: &Path) -> Option<&Path> {
    file.ancestors().find(|folder| folder.file_name() == Some(OsStr::new(SITE_PACKAGES)))
}

/// Finds the Python package of a program in a venv, or of a module, by the files that it recorded.
fn dist_info(file: &Path) -> Option<Package> {
    let (folders, inside) = if let Some(folder) = site_packages_of(file) {
        (vec![folder.to_owned()], file.strip_prefix(folder).ok()?.to_str()?.to_owned())
    } else {
        let name = file.file_name()?.to_str()?;
        (site_packages(file.parent()?), format!("../../../bin/{name}"))
    };
    let start = inside + ",";
    let infos = folders.iter().flat_map(|folder| entries(folder));
    let mut infos = infos.filter(|info| info.extension() == Some(OsStr::new("dist-info")));
    let info = infos.find(|info| {
        let record = fs_err::read_to_string(info.join("RECORD")).unwrap_or_default();
        record.lines().any(|line| line.starts_with(&start))
    })?;
    let metadata = fs_err::read_to_string(info.join("METADATA")).ok()?;
    metadata.lines().find_map(|line| line.strip_prefix("Version: ")).map(Package::new)
}

/// Returns the `package.json` of the Node package that contains a program, which is a link into it: of the folder in
/// `node_modules`, or in a scope there. Folders of a package can have a `package.json`, too.
pub(super) fn node_package(program: &Path) -> Option<Value> {
    let file = program.canonicalize().ok()?;
    let folder = file.ancestors().find(|folder| {
        let name = |level: usize| folder.ancestors().nth(level).and_then(Path::file_name);
        let is_scope = name(1).is_some_and(|name| name.as_encoded_bytes().starts_with(b"@"));
        name(if is_scope { 2 } else { 1 }) == Some(OsStr::new(NODE_MODULES))
    })?;
    serde_json::from_str(&fs_err::read_to_string(folder.join("package.json")).ok()?).ok()
}

fn package_json(program: &Path) -> Option<Package> {
    node_package(program)?["version"].as_str().map(Package::new)
}

/// Returns the name of the Node package that contains a program, if a script is part of its installation.
pub(crate) fn node_package_with_install_script(program: &Path) -> Option<String> {
    let package = node_package(program)?;
    has_install_script(&package).then(|| package["name"].as_str().unwrap_or_default().to_owned())
}

/// Returns whether a script is part of the installation of the package with this `package.json`.
pub(super) fn has_install_script(package: &Value) -> bool {
    ["preinstall", "install", "postinstall"].iter().any(|name| package["scripts"][name].is_string())
}

/// Finds the crate of a program in the list of `cargo install`: `"ripgrep 14.1.0 (registry+...)" = ["rg"]`.
fn crates_toml(path: &Path, name: &str) -> Option<Package> {
    let list: toml::Table = fs_err::read_to_string(path).ok()?.parse().ok()?;
    let mut crates = list.get("v1")?.as_table()?.iter();
    let is_owner = |programs: &toml::Value| {
        programs
            .as_array()
            .is_some_and(|programs| programs.iter().any(|program| program.as_str() == Some(name)))
    };
    let (id, _) = crates.find(|(_, programs)| is_owner(programs))?;
    id.split(' ').nth(1).map(Package::new)
}

/// Finds the gem of a program by the executables in its specification.
fn gemspec(folder: &Path, name: &str) -> Option<Package> {
    let quoted = format!("\"{name}\"");
    entries(folder).iter().find_map(|path| {
        let text = fs_err::read_to_string(path).ok()?;
        let value = |key: &str| text.lines().find_map(|line| line.trim().strip_prefix(key));
        value("s.executables = ").filter(|programs| programs.contains(&quoted))?;
        value("s.version = \"")?.split('"').next().map(Package::new)
    })
}

/// Returns the version of the main module that Go writes into each program.
fn go_module(program: &Path) -> Option<Package> {
    let bytes = fs_err::read(program).ok()?;
    let start = memmem::find(&bytes, b"\nmod\t")? + 1;
    let line = bytes[start..].split(|byte| *byte == b'\n').next()?;
    let version = std::str::from_utf8(line).ok()?.split('\t').nth(2)?;
    Some(Package::new(version.strip_prefix('v')?))
}

/// Returns the version in the path of Homebrew's cellar: `Cellar/<formula>/<version>_<revision>/bin/<name>`.
fn cellar(program: &Path) -> Option<Package> {
    let file = program.canonicalize().ok()?;
    let mut names = file.iter().skip_while(|name| *name != "Cellar").skip(1);
    let name = names.next()?.to_str()?.to_owned();
    let package_version = names.next()?.to_str()?.to_owned();
    let version = package_version.split('_').next()?.to_owned();
    Some(Package { name, version, package_version })
}

/// Returns the version in the path of a program in nix's store: `/nix/store/<digest>-<name>-<version>[-<output>]/bin/<program>`.
fn nix_store(program: &Path) -> Option<Package> {
    let file = program.canonicalize().ok()?;
    let mut names = file.iter().skip_while(|name| *name != "store").skip(1);
    let (_digest, name) = names.next()?.to_str()?.split_once('-')?;
    // As nix parses it, the version follows the first `-` that no letter follows.
    let starts_version = |(at, _): &(usize, &str)| name[at + 1..].starts_with(|c: char| c.is_ascii_digit());
    let (at, _) = name.match_indices('-').find(starts_version)?;
    let version = &name[at + 1..];
    let output =
        version.rsplit_once('-').filter(|(_, last)| last.bytes().all(|byte| byte.is_ascii_lowercase()));
    Some(Package::new(output.map_or(version, |(version, _)| version)))
}

/// Returns the tag and the digest of the image that a program names: `# image: example.org/jq:1.7@sha256:...`. A tag that
/// is no number, such as `latest`, is no version.
fn image_of(program: &Path) -> Option<Package> {
    let script = fs_err::read_to_string(program).ok()?;
    let image = script.lines().find_map(|line| line.strip_prefix("# image: "))?;
    let (_, package_version) = image.rsplit('/').next()?.split_once(':')?;
    let (tag, _) = package_version.split_once('@')?;
    let version = tag.strip_prefix('v').unwrap_or(tag);
    let is_version = version.starts_with(|c: char| c.is_ascii_digit());
    is_version.then(|| Package { package_version: package_version.to_owned(), ..Package::new(version) })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn write(path: &Path, content: &str) {
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, content).unwrap();
    }

    fn version(package: Option<Package>) -> String {
        package.map(|package| package.package_version).unwrap_or_default()
    }

    #[test]
    fn the_package_that_recorded_a_program_owns_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs_err::create_dir(path("bin")).unwrap();
        let site = path("lib/python3.11/site-packages");
        for (package, program) in [("a-1.0", "other"), ("lit-2.14.7", "lit")] {
            let info = site.join(format!("{package}.dist-info"));
            let files = format!("../../../bin/{program},sha256=x,1\n{program}/__init__.py,sha256=x,1\n");
            write(&info.join("RECORD"), &files);
            let version = package.split('-').nth(1).unwrap();
            write(&info.join("METADATA"), &format!("Metadata-Version: 2.1\nName: x\nVersion: {version}\n"));
        }
        assert_eq!(version(dist_info(&path("bin/lit"))), "2.14.7");
        assert_eq!(version(dist_info(&path("bin/python"))), "");
        assert_eq!(version(dist_info(&site.join("lit/__init__.py"))), "2.14.7");

        write(&path("node_modules/x/package.json"), r#"{"name": "x", "version": "3.10.1"}"#);
        write(&path("node_modules/x/dist/package.json"), r#"{"name": "x-module", "version": "0.0.0"}"#);
        write(&path("node_modules/x/dist/cli.js"), "");
        fs_err::create_dir(path("node_modules/.bin")).unwrap();
        symlink("../x/dist/cli.js", path("node_modules/.bin/x")).unwrap();
        assert_eq!(version(package_json(&path("node_modules/.bin/x"))), "3.10.1");
        write(&path("node_modules/@scope/y/package.json"), r#"{"name": "@scope/y", "version": "2.0.0"}"#);
        write(&path("node_modules/@scope/y/bin/y"), "");
        assert_eq!(version(package_json(&path("node_modules/@scope/y/bin/y"))), "2.0.0");

        write(
            &path(".crates.toml"),
            "[v1]\n\"a 1.0.0 (r)\" = [\"b\"]\n\"ripgrep 14.1.0 (registry+x)\" = [\"rg\"]\n",
        );
        assert_eq!(version(crates_toml(&path(".crates.toml"), "rg")), "14.1.0");

        let spec =
            "  s.name = \"rake\".freeze\n  s.version = \"13.0.6\"\n  s.executables = [\"rake\".freeze]\n";
        write(&path("specifications/rake-13.0.6.gemspec"), spec);
        assert_eq!(version(gemspec(&path("specifications"), "rake")), "13.0.6");
        assert_eq!(version(gemspec(&path("specifications"), "rak")), "");

        write(&path("go"), "\0\npath\tx.org/cmd\nmod\tx.org\tv1.2.3\th1:x=\ndep\ty.org\tv4.0.0\n");
        assert_eq!(version(go_module(&path("go"))), "1.2.3");
        write(&path("go"), "\nmod\tx.org\t(devel)\t\n");
        assert_eq!(go_module(&path("go")), None);

        for (folder, expected) in
            [("jq-1.7.1-bin", "1.7.1"), ("hello", ""), ("git-lfs-3.5", "3.5"), ("7zz-24.08", "24.08")]
        {
            let file = path(&format!("store/0123abcd-{folder}/bin/x"));
            write(&file, "");
            assert_eq!(version(nix_store(&file)), expected);
        }

        let digest = "sha256:0123";
        for (image, expected) in [
            ("example.org:5000/jq:v1.7", Some(("1.7", "v1.7@sha256:0123"))),
            ("alpine/jq:1.7", Some(("1.7", "1.7@sha256:0123"))),
            ("jq:latest", None),
            ("example.org:5000/jq", None),
        ] {
            write(&path("image"), &format!("#!/bin/sh\n# image: {image}@{digest}\n"));
            let found = image_of(&path("image"));
            let found = found.as_ref().map(|found| (&*found.version, &*found.package_version));
            assert_eq!(found, expected);
        }

        write(&path("Cellar/jq/1.7.1_2/bin/jq"), "");
        let package = cellar(&path("Cellar/jq/1.7.1_2/bin/jq")).unwrap();
        let Package { name, version, package_version } = &package;
        assert_eq!([name, version, package_version], ["jq", "1.7.1", "1.7.1_2"]);
    }
}

//! The repositories on GitHub whose releases contain well-known programs. `packaging/repositories.py` writes the table from
//! the aqua registry.

use std::io::Read;
use std::sync::LazyLock;

use flate2::read::GzDecoder;

/// A line for each program, in the order of their bytes: its name and the repositories, separated by spaces. The name of a
/// repository is left out if it is the program's. `build.rs` compresses it.
static TABLE: LazyLock<String> = LazyLock::new(|| {
    let compressed: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/programs.txt.gz"));
    let mut table = String::new();
    GzDecoder::new(compressed).read_to_string(&mut table).expect("build.rs has compressed a text");
    table
});

/// Returns the repositories, written `owner/name`, whose releases contain a program.
pub(crate) fn repositories(program: &str) -> Vec<String> {
    rows()
        .filter(|(name, _)| *name == program)
        .flat_map(|(name, repositories)| full(name, repositories))
        .collect()
}

/// Returns the programs, other than itself, that the releases of a project contain. The name of a project is that of its
/// repository.
pub(crate) fn programs_of(project: &str) -> Vec<&'static str> {
    let is_in = |repository: String| repository.rsplit_once('/').is_some_and(|(_, name)| name == project);
    rows()
        .filter(|(name, repositories)| *name != project && full(name, repositories).any(is_in))
        .map(|(name, _)| name)
        .collect()
}

fn rows() -> impl Iterator<Item = (&'static str, &'static str)> {
    TABLE.lines().filter_map(|line| line.split_once(' '))
}

/// Returns the repositories of a row with their names.
fn full<'a>(program: &'a str, repositories: &'a str) -> impl Iterator<Item = String> + use<'a> {
    repositories.split(' ').map(move |repository| match repository.strip_suffix('/') {
        Some(owner) => format!("{owner}/{program}"),
        None => repository.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_repositories_of_well_known_programs() {
        for (program, repository) in [
            ("fd", "sharkdp/fd"),
            ("gh", "cli/cli"),
            ("jq", "jqlang/jq"),
            ("kubens", "ahmetb/kubectx"),
            ("rg", "BurntSushi/ripgrep"),
            ("shellcheck", "koalaman/shellcheck"),
            ("tofu", "opentofu/opentofu"),
        ] {
            assert_eq!(repositories(program), [repository]);
        }
        assert_eq!(repositories("kubecolor"), ["hidetatz/kubecolor", "kubecolor/kubecolor"]);
        assert!(repositories("nosuch").is_empty());
        assert!(repositories("").is_empty());
    }

    #[test]
    fn a_program_of_another_project_is_not_that_of_a_project_that_contains_it() {
        // Only tenv, which starts another version of it, releases terraform on GitHub.
        assert!(repositories("terraform").is_empty());
    }

    #[test]
    fn knows_the_programs_of_a_project() {
        assert_eq!(programs_of("ripgrep"), ["rg"]);
        assert!(programs_of("fd").is_empty());
        assert!(programs_of("nosuch").is_empty());
    }

    #[test]
    fn the_table_is_sorted_and_valid() {
        let is_valid = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte))
        };
        for line in TABLE.lines() {
            let (program, row) = line.split_once(' ').expect("a name and repositories");
            assert!(is_valid(program) && program.len() < 64, "{line}");
            for repository in full(program, row) {
                let (owner, name) = repository.split_once('/').expect("an owner and a name");
                assert!(is_valid(owner) && is_valid(name), "{line}");
            }
        }
        let programs: Vec<&str> = rows().map(|(name, _)| name).collect();
        assert!(programs.is_sorted_by(|a, b| a < b), "each program once, in the order of bytes");
        assert!(programs.len() > 2000);
    }
}

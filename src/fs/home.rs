//! `~`, the home folder of the user.

use std::path::{Path, PathBuf};

/// Returns the path that `~` or `~/...` stands for, or `None` if the path begins with something else or there is no home
/// folder.
pub(crate) fn expand(path: &Path, home: Option<&Path>) -> Option<PathBuf> {
    Some(home?.join(path.strip_prefix("~").ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expands_a_tilde_only_as_a_whole_path_component() {
        let expand = |path: &str| expand(Path::new(path), Some(Path::new("/home/me")));
        assert_eq!(expand("~/a/b"), Some(PathBuf::from("/home/me/a/b")));
        assert_eq!(expand("~"), Some(PathBuf::from("/home/me/")));
        assert_eq!([expand("~me/a"), expand("/a"), expand("a/~")], [None, None, None]);
        assert_eq!(super::expand(Path::new("~/a"), None), None);
    }
}

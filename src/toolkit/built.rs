//! A prefix that a hook builds beside its place, and that replaces the earlier one only if its program is accepted.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::fs::dir::ignore_missing;
use crate::install::verify::{self, VerifyError};
use crate::model::{Outcome, VersionRange};
use crate::toolkit::batch;
use crate::toolkit::binary::ProgramFacts;
use crate::toolkit::request::HookRequest;

/// A folder that a hook has filled, and the prefix that it replaces.
#[derive(Debug)]
pub(crate) struct BuiltPrefix<'a> {
    /// The folder, on the same file system as the prefix.
    pub built: &'a Path,
    /// The prefix.
    pub prefix: PathBuf,
}

impl BuiltPrefix<'_> {
    /// Returns the path at which a file of the prefix is until [`Self::put_in_place`].
    pub(crate) fn locate(&self, file: &Path) -> PathBuf {
        file.strip_prefix(&self.prefix).map_or_else(|_| file.to_owned(), |inside| self.built.join(inside))
    }

    /// Returns a message about a file in the folder with the path that it has in the prefix.
    pub(crate) fn with_final_paths(&self, message: &str) -> String {
        message.replace(&*self.built.to_string_lossy(), &self.prefix.to_string_lossy())
    }

    /// Replaces the prefix with the folder, and returns the records of a program in it. If the request does not accept
    /// the version of the program, keeps the earlier prefix and returns the record of a rejection.
    pub(crate) fn accept(
        &self,
        request: &HookRequest,
        provider: &str,
        mut facts: ProgramFacts,
    ) -> io::Result<Vec<Value>> {
        let version = facts.version.as_str();
        let pinned = request.exact_version.as_str();
        let mut accepted = verify::check_versions(version, request.versions());
        if !VersionRange::exactly(pinned).contains(version) {
            accepted = Err(VerifyError::OtherVersion(version.to_owned(), pinned.to_owned()));
        }
        if let Err(error) = accepted {
            return Ok(vec![batch::failure(request.name.as_str(), Outcome::Rejected, &error.to_string())]);
        }
        self.put_in_place()?;
        if let Ok(file) = facts.file.strip_prefix(self.built) {
            facts.file = self.prefix.join(file);
        }
        Ok(facts.records(&request.name, provider))
    }

    /// Replaces the prefix with the folder. After an error, the earlier prefix is still in place.
    fn put_in_place(&self) -> io::Result<()> {
        let mut earlier = self.prefix.as_os_str().to_owned();
        earlier.push(".old.part");
        let earlier = PathBuf::from(earlier);
        ignore_missing(fs_err::remove_dir_all(&earlier))?;
        ignore_missing(fs_err::rename(&self.prefix, &earlier))?;
        if let Err(error) = fs_err::rename(self.built, &self.prefix) {
            ignore_missing(fs_err::rename(&earlier, &self.prefix))?;
            return Err(error);
        }
        ignore_missing(fs_err::remove_dir_all(&earlier))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_built_folder_replaces_the_prefix_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let (unfinished, prefix) = (folder.path().join("x.part"), folder.path().join("x"));
        let built = BuiltPrefix { built: &unfinished, prefix: prefix.clone() };
        let fill = |file: &str| {
            fs_err::create_dir(&unfinished).unwrap();
            fs_err::write(built.locate(&prefix.join(file)), "").unwrap();
        };
        fill("first");
        built.put_in_place().unwrap();
        fill("second");
        built.put_in_place().unwrap();
        let names = |path: &Path| -> Vec<_> {
            fs_err::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect()
        };
        assert_eq!((names(folder.path()), names(&prefix)), (vec!["x".into()], vec!["second".into()]));
        assert!(built.put_in_place().is_err(), "nothing was built");
        assert_eq!(names(&prefix), ["second"], "the prefix is still in place");
    }
}

//! An untrusted file or folder, and the advice about it.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::shell;

/// What the advice about an untrusted file depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Circumstances {
    /// Whether this is a job of a CI system, which decides about owners and modes.
    pub is_ci: bool,
    /// The folder that the user works in, unless that is `/` or the home folder.
    pub checkout: Option<PathBuf>,
    /// Whether [`TRUST_VARIABLE`] is set.
    pub has_declared: bool,
}

impl Circumstances {
    /// Returns the command that declares a file or folder trusted, with all others that are wrong for the same reason: the
    /// checkout, or `folder` if that is elsewhere.
    pub(super) fn declaration(&self, target: &Path, folder: &Path) -> String {
        let folder = shell::quote_path(self.checkout_of(target).unwrap_or(folder));
        let earlier = if self.has_declared { format!("\"${TRUST_VARIABLE}\":") } else { String::new() };
        format!("run `export {TRUST_VARIABLE}={earlier}{folder}`")
    }

    /// Returns the folder that the user works in if it contains `path`.
    fn checkout_of(&self, path: &Path) -> Option<&Path> {
        self.checkout.as_deref().filter(|checkout| path.starts_with(checkout) && !is_shared(checkout))
    }
}

/// The variable with folders to trust, separated by `:`, like `--trust-dir`.
pub const TRUST_VARIABLE: &str = "RIGUP_TRUST_DIR";

/// A file or folder that others may have written or replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untrusted {
    /// The file or folder with the unsafe owner or permissions.
    pub path: PathBuf,
    /// The unsafe property, as a clause.
    cause: String,
    remedy: Remedy,
    /// The file or folder to check, if `path` is only a part of its path.
    leads_to: Option<PathBuf>,
    circumstances: Arc<Circumstances>,
}

/// What to do about an untrusted file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Declare it trusted, under this condition. Nothing that this user can do makes it safe.
    Declare(&'static str),
    /// A command that makes it safe, in two parts; `-R` between them applies it to everything in a folder.
    Command(&'static str, &'static str),
    /// Something else, as a clause.
    Other(String),
}

/// The condition for trust in the owner of a file.
pub(super) const IF_OWNER: &str = "if you trust that user";

/// The condition for trust in a file that others may write to.
pub(super) const IF_ALONE: &str = "if you know that no one else can write to it";

impl Untrusted {
    pub(super) fn new(
        path: &Path,
        cause: String,
        remedy: Remedy,
        circumstances: &Arc<Circumstances>,
    ) -> Self {
        let circumstances = Arc::clone(circumstances);
        Self { path: path.to_owned(), cause, remedy, leads_to: None, circumstances }
    }

    /// Adds the file or folder that is reached through this one, unless it is the same.
    pub(super) fn leading_to(self, path: &Path) -> Self {
        let leads_to = (self.path != path).then(|| path.to_owned());
        Self { leads_to, ..self }
    }

    /// Returns the reason, as a clause.
    pub fn reason(&self) -> String {
        match &self.leads_to {
            Some(path) => format!("{}, and {} is reached through it", self.cause, path.display()),
            None => self.cause.clone(),
        }
    }

    /// Returns the file or folder to check.
    fn target(&self) -> &Path {
        self.leads_to.as_deref().unwrap_or(&self.path)
    }

    /// Returns the reason, and the next step: a fix, or how to declare `folder` trusted.
    pub fn advice(&self, folder: &Path) -> String {
        let reason = self.reason();
        let declared = |condition: &str| {
            format!("{reason}; {condition}, {}", self.circumstances.declaration(self.target(), folder))
        };
        if is_shared(folder) && self.circumstances.checkout_of(self.target()).is_none() {
            let fix = if let Remedy::Other(fix) = &self.remedy { fix } else { ALL_SHARE_IT };
            return format!("{reason}; {fix}");
        }
        let fix = match &self.remedy {
            Remedy::Declare(condition) => return declared(condition),
            Remedy::Command(..) if self.circumstances.is_ci => return declared(IF_ALONE),
            Remedy::Other(fix) => fix.clone(),
            // If a folder of the checkout has the wrong mode, everything in it has; a file may be the only one.
            Remedy::Command(program, change) => match self.circumstances.checkout_of(&self.path) {
                Some(checkout) if self.path.is_dir() => {
                    format!("fix it with `{program} -R {change} {}`", shell::quote_path(checkout))
                }
                _ => format!("fix it with `{program} {change} {}`", shell::quote_path(&self.path)),
            },
        };
        let declare = format!("declare it trusted with --trust-dir {}", shell::quote_path(folder));
        // A settings file cannot declare itself trusted.
        let other_way = if self.target().ends_with("rigup.toml") {
            format!("{TRUST_VARIABLE}={}", shell::quote_path(folder))
        } else {
            format!("trust_dirs = [{:?}] in your own rigup.toml", folder.display().to_string())
        };
        format!("{reason}; {fix}, or {declare} or {other_way}")
    }
}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = self.target();
        let is_file = target.metadata().is_ok_and(|metadata| !metadata.is_dir());
        let folder = target.parent().filter(|_| is_file).unwrap_or(target);
        write!(f, "{}: {}", self.path.display(), self.advice(folder))
    }
}

impl std::error::Error for Untrusted {}

/// The next step for a file or folder that all users share.
pub(super) const ALL_SHARE_IT: &str = "all users share it, so use a file or folder of your own";

/// Whether a file or folder is one that all users share, such as `/dev/null` or `/tmp`: other permissions would harm
/// them, and so would trust in everything that they write there.
pub(super) fn is_shared(path: &Path) -> bool {
    let Ok(metadata) = path.metadata() else { return false };
    let is_open_folder = metadata.is_dir() && metadata.mode() & 0o1002 == 0o1002;
    let is_other_file = !metadata.is_dir() && !metadata.is_file();
    let is_of_root = metadata.uid() == 0;
    is_of_root && (is_open_folder || is_other_file)
        || ["/dev", "/proc", "/sys"].iter().any(|folder| path.starts_with(folder))
}

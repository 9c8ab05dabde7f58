//! The folder that a provider installs a requirement into.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use crate::toolkit::request::HookRequest;

/// An `install_root` outside the folders in which a provider may install.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot install into overrides.{provider}.install_root {root}; give a folder directly below {} or below its {SHARED}",
    below.display()
)]
pub struct BadInstallRoot {
    /// The provider.
    pub provider: String,
    /// The `install_root`.
    pub root: String,
    /// The folder that it must be in.
    pub below: PathBuf,
}

/// The folder below `LIB_DIR/<provider>` that holds prefixes itself, as in abx-plugins.
const SHARED: &str = "packages";

/// Returns `LIB_DIR/<provider>/<name>`, so that no tool breaks another's dependencies, unless the overrides put several into one
/// `install_root`: a name or an absolute path directly below `LIB_DIR/<provider>` or its folder `packages`. No prefix contains
/// another, because providers empty the prefix that they install into.
pub fn prefix(request: &HookRequest, provider: &str, lib_dir: &Path) -> Result<PathBuf, BadInstallRoot> {
    let below = lib_dir.join(provider);
    let root = request.overrides.of(provider).install_root();
    let path = below.join(root.unwrap_or(request.name.link_name()));
    let inside: Vec<Component<'_>> =
        path.strip_prefix(&below).map(|path| path.components().collect()).unwrap_or_default();
    // A name that ends with `.part` is an unfinished prefix, or the mark of one.
    let is_free = |name: &OsStr| !name.as_encoded_bytes().ends_with(b".part");
    match inside[..] {
        [Component::Normal(name)] if is_free(name) && name != SHARED => Ok(below.join(name)),
        [Component::Normal(shared), Component::Normal(name)] if shared == SHARED && is_free(name) => {
            Ok(below.join(shared).join(name))
        }
        _ => Err(BadInstallRoot {
            provider: provider.to_owned(),
            root: root.unwrap_or(request.name.link_name()).to_owned(),
            below,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix_of(overrides: &str) -> Result<PathBuf, BadInstallRoot> {
        let arguments = ["--name=x".to_owned(), format!("--overrides={overrides}")];
        prefix(&HookRequest::parse(&arguments, None).unwrap(), "pip", Path::new("/lib"))
    }

    #[test]
    fn every_requirement_has_its_own_prefix_unless_it_shares_one() {
        assert_eq!(prefix_of("{}").unwrap(), Path::new("/lib/pip/x"));
        assert_eq!(prefix_of(r#"{"pip":{"install_root":"shared"}}"#).unwrap(), Path::new("/lib/pip/shared"));
        let below_packages = r#"{"pip":{"install_root":"/lib/pip/packages/x"}}"#;
        assert_eq!(prefix_of(below_packages).unwrap(), Path::new("/lib/pip/packages/x"));
        for same in ["/lib/pip/shared", "shared/", "./shared", "/lib/pip/./shared/"] {
            let overrides = format!(r#"{{"pip":{{"install_root":"{same}"}}}}"#);
            assert_eq!(prefix_of(&overrides).unwrap(), Path::new("/lib/pip/shared"), "{same}");
        }
    }

    #[test]
    fn an_install_root_cannot_leave_the_folder_of_the_provider() {
        let others = [
            "/etc",
            "../../x",
            "/lib/../etc",
            "/lib",
            "/lib/bin",
            "/lib/pip",
            ".",
            "x/lib",
            "y.part",
            "..",
            "packages",
        ];
        for root in others {
            assert!(prefix_of(&format!(r#"{{"pip":{{"install_root":"{root}"}}}}"#)).is_err(), "{root}");
        }
    }
}

//! The folder that a provider installs a requirement into.

use std::path::{Component, Path, PathBuf};

use crate::plugin::overrides;
use crate::toolkit::request::HookRequest;

/// An `install_root` that leads out of LIB_DIR.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("overrides.{provider}.install_root is {root}, which is not below LIB_DIR ({lib_dir})", lib_dir = lib_dir.display())]
pub struct OutsideLibDir {
    /// The provider.
    pub provider: String,
    /// What was asked for.
    pub root: String,
    /// Where it would have to be.
    pub lib_dir: PathBuf,
}

/// `LIB_DIR/<provider>/<name>`, so that no tool can break another's dependencies, unless the overrides put several
/// into one `install_root`, which is relative to `LIB_DIR/<provider>` or absolute below LIB_DIR.
pub fn prefix(request: &HookRequest, provider: &str, lib_dir: &Path) -> Result<PathBuf, OutsideLibDir> {
    let own = lib_dir.join(provider);
    let Some(root) = overrides::text(&request.overrides, provider, "install_root") else {
        return Ok(own.join(request.name.link_name()));
    };
    let path = own.join(root);
    let climbs = path.components().any(|part| part == Component::ParentDir);
    if climbs || !path.starts_with(lib_dir) || path == lib_dir {
        return Err(OutsideLibDir {
            provider: provider.to_owned(),
            root: root.to_owned(),
            lib_dir: lib_dir.to_owned(),
        });
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix_of(overrides: &str) -> Result<PathBuf, OutsideLibDir> {
        let arguments = ["--name=x".to_owned(), format!("--overrides={overrides}")];
        prefix(
            &HookRequest::parse(&arguments, None).unwrap(),
            "pip",
            Path::new("/lib"),
        )
    }

    #[test]
    fn every_requirement_has_a_folder_of_its_own_unless_it_shares_one() {
        assert_eq!(prefix_of("{}").unwrap(), Path::new("/lib/pip/x"));
        assert_eq!(
            prefix_of(r#"{"pip":{"install_root":"shared"}}"#).unwrap(),
            Path::new("/lib/pip/shared")
        );
        assert_eq!(
            prefix_of(r#"{"pip":{"install_root":"/lib/venv"}}"#).unwrap(),
            Path::new("/lib/venv")
        );
    }

    #[test]
    fn no_install_root_leads_out_of_lib_dir() {
        for root in ["/etc", "../../x", "/lib/../etc", "/lib", "/library"] {
            assert!(
                prefix_of(&format!(r#"{{"pip":{{"install_root":"{root}"}}}}"#)).is_err(),
                "{root}"
            );
        }
    }
}

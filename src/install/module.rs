//! Modules: files of packages that are no programs, such as Python and Node modules. rigup records them, and does not
//! link them.

use std::path::Path;

use crate::model::Installed;
use crate::process::executable::{self, ExecutableError};

/// Returns whether a file is a module: nobody may execute it, and it does not begin like a program.
pub(crate) fn is_module(file: &Path) -> bool {
    !executable::is_program(file) && executable::check(file, None) == Err(ExecutableError::NoProgram)
}

/// Returns whether LIB_BIN_DIR must not have a link to an installed binary.
pub(crate) fn needs_no_link(installed: &Installed) -> bool {
    installed.is_in_app_bundle() || is_module(&installed.abspath)
}

//! Python scripts that would have another meaning after a trampoline, and the code that loads them.

use sha2::{Digest, Sha256};

use crate::fs::digest;

/// The folder, beside a launcher, of the scripts that launchers load.
pub(super) const FOLDER: &str = ".scripts";

/// The first line of such a script, in place of its `#!` line.
pub(super) const KEPT_START: &[u8] = b"# The launcher of this name in the folder above runs this script.\n";

/// Whether a script, given without its `#!` line, would have another meaning after a trampoline, which is a string:
/// whether it has a docstring, reads it, imports from `__future__`, or declares an encoding in its second line.
pub(super) fn depends_on_start(script: &[u8]) -> bool {
    let contains = |name: &str| memchr::memmem::find(script, name.as_bytes()).is_some();
    contains("__doc__") || contains("__future__") || has_encoding(script) || starts_with_string(script)
}

/// Whether the first line declares another encoding than UTF-8, the default.
fn has_encoding(script: &[u8]) -> bool {
    let line = String::from_utf8_lossy(script.split(|byte| *byte == b'\n').next().unwrap_or_default())
        .to_lowercase();
    let declared = line.trim_start().strip_prefix('#').and_then(|comment| {
        let after = comment.split("coding").skip(1).find_map(|after| after.strip_prefix([':', '=']))?;
        Some(after.trim_start().replace('_', "-"))
    });
    declared.is_some_and(|name| !name.starts_with("utf-8") && !name.starts_with("utf8"))
}

/// Whether the first statement is a string.
fn starts_with_string(script: &[u8]) -> bool {
    let lines = script.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let mut statements = lines.filter(|line| !line.is_empty() && !line.starts_with(b"#"));
    let is_before = |byte: &u8| b"(rRuUbBfF".contains(byte);
    let first = statements.next().and_then(|line| line.iter().find(|byte| !is_before(byte)));
    first.is_some_and(|byte| b"'\"".contains(byte))
}

/// Returns the Python code of a launcher that runs a script, as if it were the launcher. It has the digest of the
/// script, so that a pin of the launcher is one of the script.
pub(super) fn loader(script: &[u8]) -> String {
    let digest = digest::hex(&Sha256::digest(script));
    format!(
        r#"# sha256 {digest}
def _script():
    import os.path

    folder, name = os.path.split(os.path.realpath(__file__))
    path = os.path.join(folder, "{FOLDER}", name)
    with open(path, "rb") as file:
        return compile(file.read(), path, "exec", 0, True)


__doc__ = None
exec(_script())
"#
    )
}

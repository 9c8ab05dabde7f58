//! The start of a provider's hook in one call: whether the request is for the provider, the lock, and the request as shell
//! variables.

use jiff::Timestamp;

use crate::plugin::config::provider::ProviderConfig;
use crate::settings::Settings;
use crate::toolkit::policy;
use crate::toolkit::request::{HookRequest, RequestError};

/// The variable that a hook finds itself under a lock by.
pub(crate) const LOCKED: &str = "RIGUP_LOCKED";

/// Puts the command that starts the hook again into the arguments. Like rigup itself, bash starts a script without an exec
/// bit or a shebang.
const RESTART: &str = r##"if [ -x "$0" ] && read -r shebang <"$0" && [ "${shebang#"#!"}" != "$shebang" ]
then set -- "$0" "$@"
else set -- bash "$0" "$@"
fi
"##;

/// Returns the shell code that a provider's hook evaluates at its start. Without its lock, the hook starts itself again under
/// it; with the lock, it gets the variables `name`, `prefix`, `packages` (one per line), `min_version`, `exact_version` and
/// those of [`policy::assignments`]. The lock is that of the prefix unless `lock` names another.
pub(crate) fn script(
    request: &HookRequest,
    provider: &str,
    lock: Option<&str>,
    config: &ProviderConfig,
    settings: &Settings,
    now: Timestamp,
) -> Result<String, RequestError> {
    let prefix = request.prefix(provider, &settings.lib_dir)?;
    let own_lock = format!("{provider}/{}", prefix.file_name().unwrap_or_default().to_string_lossy());
    let lock = lock.unwrap_or(&own_lock);
    let mark = settings.lib_dir.join(lock);
    if settings.environment.get(LOCKED) != Some(mark.as_os_str()) {
        let (mark, lock) = (quoted(&mark.to_string_lossy())?, quoted(lock)?);
        return Ok(format!("{RESTART}{LOCKED}={mark} exec \"$RIGUP\" hook lock {lock} -- \"$@\"\n"));
    }
    let packages = request.packages(provider, config)?.join("\n");
    Ok(format!(
        "name={}\nprefix={}\npackages={}\nmin_version={}\nexact_version={}\n{}",
        quoted(request.name.link_name())?,
        quoted(&prefix.to_string_lossy())?,
        quoted(&packages)?,
        quoted(&request.min_version)?,
        quoted(&request.exact_version)?,
        policy::assignments(request, now)
    ))
}

/// Returns a word in single quotes, in which a shell leaves everything as it is.
fn quoted(text: &str) -> Result<String, RequestError> {
    if text.contains('\0') {
        return Err(RequestError::Nul(text.to_owned()));
    }
    Ok(format!("'{}'", text.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_everything_that_a_shell_would_expand() {
        assert_eq!(quoted("a b$(c)`d`\n\"e\\").unwrap(), "'a b$(c)`d`\n\"e\\'");
        assert_eq!(quoted("it's").unwrap(), r"'it'\''s'");
        assert!(quoted("a\0").is_err());
    }
}

//! `rigup env`: what puts LIB_BIN_DIR on the PATH of a shell.

use serde_json::json;

use crate::cli::command::{CliError, CommandResult, Context};
use crate::engine::ExitStatus;
use crate::settings::Settings;

/// The arguments of `rigup env`.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("help/env.txt"))]
pub(crate) struct EnvArgs {
    /// Write for this shell, or in this format
    #[arg(long, short, value_enum, value_name = "SHELL", default_value_t = EnvFormat::Sh)]
    shell: EnvFormat,
}

/// Who reads the output of `rigup env`.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum EnvFormat {
    /// A POSIX shell, such as dash or busybox
    Sh,
    /// bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
    /// Nushell
    Nu,
    #[value(help = "PowerShell")]
    Pwsh,
    /// An object with PATH, LIB_DIR, LIB_BIN_DIR and DATA_DIR
    Json,
    /// A `.env` file with PATH
    Dotenv,
    /// The file `$GITHUB_PATH`
    Github,
}

/// Runs `rigup env`.
pub(crate) fn env(args: &EnvArgs, context: &mut Context) -> CommandResult {
    let settings = &context.settings;
    // Its path is UTF-8, and has no colon and no ASCII character that a shell treats in a special way between double quotes.
    let folder = settings.lib_bin_dir.display();
    let format = if context.output.is_json_requested() { EnvFormat::Json } else { args.shell };
    let text = match format {
        EnvFormat::Sh | EnvFormat::Bash | EnvFormat::Zsh => format!(
            r#"case ":${{PATH}}:" in *":{folder}:"*) ;; *) export PATH="{folder}${{PATH:+:$PATH}}" ;; esac"#
        ),
        EnvFormat::Fish => format!(r#"contains -- "{folder}" $PATH; or set -gx PATH "{folder}" $PATH"#),
        EnvFormat::Nu => format!(
            r#"$env.PATH = ($env.PATH? | default [] | split row (char esep) | where $it != "" | prepend "{folder}" | uniq)"#
        ),
        EnvFormat::Pwsh => {
            let folder = escape_typographic_quotes(&folder.to_string());
            format!(
                r#"if (($env:PATH -split [IO.Path]::PathSeparator) -notcontains "{folder}") {{ $env:PATH = (@("{folder}") + @($env:PATH | Where-Object {{ $_ }})) -join [IO.Path]::PathSeparator }}"#
            )
        }
        EnvFormat::Json => json!({
            "PATH": path_with_folder(settings)?,
            "LIB_DIR": settings.lib_dir,
            "LIB_BIN_DIR": settings.lib_bin_dir,
            "DATA_DIR": settings.data_dir,
        })
        .to_string(),
        EnvFormat::Dotenv => {
            let quoted =
                path_with_folder(settings)?.replace('\\', r"\\").replace('"', "\\\"").replace('$', "\\$");
            format!("PATH=\"{quoted}\"")
        }
        EnvFormat::Github => folder.to_string(),
    };
    context.output.raw(format!("{text}\n").as_bytes());
    Ok(ExitStatus::Success)
}

/// Escapes the quotes that PowerShell reads like ASCII ones, for a text in double quotes.
fn escape_typographic_quotes(text: &str) -> String {
    let is_quote = |c: &char| ('\u{2018}'..='\u{201e}').contains(c);
    text.chars().flat_map(|c| is_quote(&c).then_some('`').into_iter().chain([c])).collect()
}

/// Returns the PATH of the caller with LIB_BIN_DIR on it. Fails if it is not UTF-8, which the formats of programs require.
fn path_with_folder(settings: &Settings) -> Result<String, CliError> {
    let path = settings.command_environment.get("PATH").unwrap_or_default();
    let Some(text) = path.to_str() else {
        let mut folders = settings.command_environment.folders("PATH").into_iter();
        let folder = folders.find(|folder| folder.to_str().is_none()).unwrap_or_default();
        let folder = folder.as_os_str().as_encoded_bytes().escape_ascii();
        return Err(CliError::setup(format!(
            "cannot write PATH in this format: its folder {folder} is not UTF-8; remove that from PATH, or use `rigup env` for a shell"
        )));
    };
    Ok(match text {
        _ if settings.has_lib_bin_dir_on_path() => text.to_owned(),
        "" => settings.lib_bin_dir.display().to_string(),
        text => format!("{}:{text}", settings.lib_bin_dir.display()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quotes_that_powershell_knows_are_escaped() {
        assert_eq!(escape_typographic_quotes("/a b/é'«»"), "/a b/é'«»");
        let quotes = "\u{2018}\u{2019}\u{201a}\u{201b}\u{201c}\u{201d}\u{201e}";
        assert_eq!(escape_typographic_quotes(quotes).replace('`', ""), quotes);
        assert_eq!(escape_typographic_quotes(quotes).matches('`').count(), 7);
        assert_eq!(escape_typographic_quotes("a\u{201d}b"), "a`\u{201d}b");
    }
}

//! `rigup env`: what puts LIB_BIN_DIR on the PATH of a shell.

use serde_json::json;

use crate::cli::command::Context;
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
pub(crate) fn env(args: &EnvArgs, context: &mut Context) -> ExitStatus {
    let settings = &context.settings;
    // Its path has no character that a shell treats in a special way between double quotes, and no colon.
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
        EnvFormat::Pwsh => format!(
            r#"if (($env:PATH -split [IO.Path]::PathSeparator) -notcontains "{folder}") {{ $env:PATH = (@("{folder}") + @($env:PATH | Where-Object {{ $_ }})) -join [IO.Path]::PathSeparator }}"#
        ),
        EnvFormat::Json => json!({
            "PATH": path_with_folder(settings),
            "LIB_DIR": settings.lib_dir,
            "LIB_BIN_DIR": settings.lib_bin_dir,
            "DATA_DIR": settings.data_dir,
        })
        .to_string(),
        EnvFormat::Dotenv => {
            let quoted =
                path_with_folder(settings).replace('\\', r"\\").replace('"', "\\\"").replace('$', "\\$");
            format!("PATH=\"{quoted}\"")
        }
        EnvFormat::Github => folder.to_string(),
    };
    context.output.raw(format!("{text}\n").as_bytes());
    ExitStatus::Success
}

/// Returns the PATH of the caller with LIB_BIN_DIR on it.
fn path_with_folder(settings: &Settings) -> String {
    let path = settings.command_environment.get("PATH").unwrap_or_default().to_string_lossy();
    match &*path {
        _ if settings.has_lib_bin_dir_on_path() => path.into_owned(),
        "" => settings.lib_bin_dir.display().to_string(),
        path => format!("{}:{path}", settings.lib_bin_dir.display()),
    }
}

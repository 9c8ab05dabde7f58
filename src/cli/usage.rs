//! Prints the help, the version, and the errors of the parser.

use std::io::{self, IsTerminal};

use clap::Command;
use clap::error::ErrorKind;

use crate::cli::ci_log;
use crate::cli::cli_error::CliError;
use crate::cli::hook;
use crate::cli::message::error;
use crate::cli::output_queue::{STDERR, STDOUT};
use crate::engine::ExitStatus;
use crate::exhaustion;
use crate::report::text::printable;
use crate::toolkit::begin::EXIT_IN_SHELL;

const GLOBAL_OPTIONS_HINT: &str = "Run `rigup --help` to see the global options.";

/// Prints the help, the version, or the usage error of the parser `commands`.
pub(crate) fn print(error: clap::Error, commands: Command) -> ExitStatus {
    let error = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // The help that the arguments of this process request.
            without_global_options(commands).try_get_matches().err().unwrap_or(error)
        }
        _ => error,
    };
    let (is_error, text) = (error.use_stderr(), error.render().to_string());
    if is_error && hook::is_evaluated(std::env::args_os().skip(1), error.kind()) {
        let _ = STDOUT.write_and_drain(EXIT_IN_SHELL);
    }
    // Only a terminal shows styles.
    let printed = match is_error {
        true if io::stderr().is_terminal() => error.print(),
        true => STDERR.write_and_drain(&ci_log::inert(text)),
        false if io::stdout().is_terminal() => error.print(),
        false => STDOUT.write_and_drain(&text),
    };
    match printed {
        // That nobody reads the messages, or the rest of the help, does not change the exit code.
        _ if is_error => ExitStatus::Usage,
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let error = output_error(&error);
            error!("{error}");
            error.status
        }
        _ => ExitStatus::Success,
    }
}

/// Returns the error for standard output that cannot be written.
pub(crate) fn output_error(error: &io::Error) -> CliError {
    CliError::setup(format!("cannot write to standard output: {}", exhaustion::explain(error)))
}

/// Returns the error for the arguments of this process without characters that control the terminal, because clap quotes
/// arguments unchanged. If there is none, returns the same error.
pub(crate) fn with_printable_arguments(error: clap::Error, commands: Command) -> clap::Error {
    let texts = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned());
    let (texts, shown): (Vec<String>, Vec<String>) =
        texts.map(|text| (text.clone(), printable(&text))).unzip();
    // What replaces the bytes of an argument that is not UTF-8 is valid.
    if texts == shown || error.kind() == ErrorKind::InvalidUtf8 {
        return error;
    }
    commands.try_get_matches_from(shown).err().unwrap_or(error)
}

/// Hides the global options of the subcommands, so that only the help of rigup itself shows them.
pub(crate) fn without_global_options(mut command: Command) -> Command {
    command.build();
    for subcommand in command.get_subcommands_mut() {
        hide_global_options(subcommand);
    }
    command
}

fn hide_global_options(command: &mut Command) {
    // The examples of most commands come from a file, which ends with a line break.
    let help = command.get_after_help().map(|help| format!("{}\n\n", help.to_string().trim_end()));
    let help = help.unwrap_or_default();
    let hidden = std::mem::take(command)
        .mut_args(|argument| if argument.is_global_set() { argument.hide(true) } else { argument })
        .after_help(format!("{help}{GLOBAL_OPTIONS_HINT}"));
    *command = hidden;
    for subcommand in command.get_subcommands_mut() {
        hide_global_options(subcommand);
    }
}

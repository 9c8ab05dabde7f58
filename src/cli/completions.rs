//! `rigup completions`: the script with which a shell completes the command line of rigup, and the completions themselves.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::panic;
use std::path::Path;
use std::sync::OnceLock;

use clap::builder::PossibleValue;
use clap::{ArgMatches, Command, FromArgMatches as _};
use clap_complete::CompleteEnv;
use clap_complete::engine::{
    ArgValueCandidates, ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter,
};
use clap_complete::env::{Bash, Elvish, EnvCompleter, Fish, Powershell, Shells, Zsh};

use crate::cli::command::{CliError, CommandResult, Context};
use crate::engine::ExitStatus;
use crate::engine::completion::{Candidate, Completions, installed};
use crate::report::text::{is_printable, printable};
use crate::settings::{Environment, Flags, Settings, SettingsUse};
use crate::shell;

/// The variable with which the script of a shell starts rigup. It contains the name of the shell.
const VARIABLE: &str = "RIGUP_COMPLETE";

const SHELLS: Shells<'_> = Shells(&[
    &AdaptedShell {
        shell: Bash,
        script: Some(include_str!("completions/rigup.bash")),
        needs_plain_values: true,
    },
    &Elvish,
    &Fish,
    &AdaptedShell { shell: Powershell, script: None, needs_plain_values: true },
    &AdaptedShell {
        shell: Zsh,
        script: Some(include_str!("completions/rigup.zsh")),
        needs_plain_values: false,
    },
]);

/// The word in a script that stands for the path of rigup.
const PLACEHOLDER: &str = "PATH_OF_RIGUP";

/// The folders on the command line that is completed.
static FLAGS: OnceLock<Flags> = OnceLock::new();

/// The items before the last comma of the word that is completed, which are not offered again.
static LISTED: OnceLock<Vec<String>> = OnceLock::new();

/// The arguments of `rigup completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = include_str!("help/completions.txt"))]
pub(crate) struct CompletionsArgs {
    /// Shell that reads the script
    #[arg(value_parser = shell_parser())]
    shell: String,
}

fn shell_parser() -> [PossibleValue; 5] {
    let shells = ["bash", "elvish", "fish", "powershell", "zsh"].map(PossibleValue::new);
    shells.map(|shell| if shell.get_name() == "powershell" { shell.alias("pwsh") } else { shell })
}

/// Runs `rigup completions`.
pub(crate) fn completions(args: &CompletionsArgs, context: &mut Context) -> CommandResult {
    let shell = SHELLS.completer(&args.shell).ok_or_else(|| CliError::usage("unknown shell"))?;
    // Without a folder, the script finds rigup on the PATH, also after an upgrade.
    let word = std::env::args_os().next().unwrap_or_default();
    let has_folder = Path::new(&word).components().count() > 1;
    let rigup = if has_folder { context.settings.rigup.to_string_lossy() } else { "rigup".into() };
    let mut script = Vec::new();
    shell.write_registration(VARIABLE, "rigup", "rigup", &rigup, &mut script).map_err(CliError::setup)?;
    context.output.raw(&script);
    Ok(ExitStatus::Success)
}

/// Prints the completions of the command line in the arguments of this process, and returns whether the script of a shell
/// has started it for that. If something fails, nothing is printed, because that would end up on the line that is typed.
pub(crate) fn complete(command: fn() -> Command) -> bool {
    let build = || {
        panic::set_hook(Box::new(|_| {}));
        let words: Vec<OsString> = std::env::args_os().skip_while(|word| word != "--").skip(1).collect();
        if words.iter().any(|word| word.as_encoded_bytes().starts_with(b"--")) {
            let matches = command().ignore_errors(true).try_get_matches_from(&words);
            let _ = FLAGS.set(matches.ok().and_then(|matches| flags(&matches)).unwrap_or_default());
        }
        let typed = words.last().map(|word| word.to_string_lossy());
        let _ = LISTED.set(typed.as_deref().map(items_before).unwrap_or_default());
        let is_option_typed = words.last().is_some_and(|word| word.as_encoded_bytes().starts_with(b"-"));
        let mut command = command();
        command.build();
        hide_options(command, true, is_option_typed)
    };
    let folder = std::env::current_dir().ok();
    let complete = || {
        let completion = CompleteEnv::with_factory(build).var(VARIABLE).shells(SHELLS);
        completion.try_complete(std::env::args_os(), folder.as_deref())
    };
    !matches!(panic::catch_unwind(panic::AssertUnwindSafe(complete)), Ok(Ok(false)))
}

/// Returns the items of a list before the one that is typed: of `--plugins=a,b,c`, those are `a` and `b`.
fn items_before(word: &str) -> Vec<String> {
    let (_, list) = word.split_once('=').filter(|_| word.starts_with('-')).unwrap_or(("", word));
    let items = list.rsplit_once(',').map(|(before, _)| before.split(',').map(str::to_owned));
    items.map(Iterator::collect).unwrap_or_default()
}

fn flags(matches: &ArgMatches) -> Option<Flags> {
    Flags::from_arg_matches(matches).ok()
}

/// Leaves out the options until the word that is typed begins like one, and the global options of subcommands until no
/// other is possible, so that the values of a command are not lost among them.
fn hide_options(command: Command, is_root: bool, is_option_typed: bool) -> Command {
    let mut command = command.mut_args(|argument| {
        let is_hidden = !argument.is_positional() && !is_option_typed || !is_root && argument.is_global_set();
        if is_hidden { argument.hide(true) } else { argument }
    });
    for subcommand in command.get_subcommands_mut() {
        *subcommand = hide_options(std::mem::take(subcommand), false, is_option_typed);
    }
    command
}

/// Completes an argument with these values: `#[arg(add = values(completion::plugins))]`.
pub(crate) fn values(find: fn(&Settings) -> Completions) -> ArgValueCandidates {
    ArgValueCandidates::new(move || candidates(find))
}

/// Completes the last item of a list that is separated by commas with these values.
pub(crate) fn list_of(find: fn(&Settings) -> Completions) -> ArgValueCompleter {
    ArgValueCompleter::new(move |current: &OsStr| {
        let Some(current) = current.to_str() else { return Vec::new() };
        let (before, item) = current.rfind(',').map_or(("", current), |comma| current.split_at(comma + 1));
        let mut found = candidates(find);
        found.retain(|candidate| begins_with(candidate, item.as_ref()));
        found.into_iter().map(|candidate| candidate.add_prefix(before)).collect()
    })
}

/// Completes `[PROVIDER:]NAME` with the specs that begin like this: `#[arg(add = specs(completion::installed_specs))]`.
pub(crate) fn specs(find: fn(&Settings, &str) -> Completions) -> ArgValueCompleter {
    ArgValueCompleter::new(move |current: &OsStr| {
        let mut found = candidates(|settings| find(settings, &current.to_string_lossy()));
        found.retain(|candidate| begins_with(candidate, current));
        found
    })
}

/// Completes a command: with names of installed binaries, or with paths if none begins like this.
pub(crate) fn command() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let mut found = candidates(installed);
        found.retain(|candidate| begins_with(candidate, current));
        if found.is_empty() { PathCompleter::any().complete(current) } else { found }
    })
}

fn begins_with(candidate: &CompletionCandidate, text: &OsStr) -> bool {
    candidate.get_value().as_encoded_bytes().starts_with(text.as_encoded_bytes())
}

/// Returns values for a shell. A name that a shell would have to quote is left out, because plugins choose names.
fn candidates(find: impl FnOnce(&Settings) -> Completions) -> Vec<CompletionCandidate> {
    let flags = FLAGS.get().cloned().unwrap_or_default();
    let settings = Settings::merge_for(SettingsUse::Folders, flags, Environment::of_this_process());
    let found = settings.ok().and_then(|settings| find(&settings).ok()).unwrap_or_default();
    let listed = LISTED.get().map(Vec::as_slice).unwrap_or_default();
    let is_new = |candidate: &Candidate| !listed.contains(&candidate.value);
    let is_offered = |candidate: &Candidate| is_typed_as_it_is(&candidate.value) && is_new(candidate);
    let plain = found.into_iter().filter(is_offered).enumerate();
    plain
        .map(|(order, candidate)| {
            let help = Some(printable(&candidate.description)).filter(|help| !help.is_empty());
            let completion = CompletionCandidate::new(candidate.value).display_order(Some(order));
            completion.help(help.map(Into::into))
        })
        .collect()
}

/// Whether a name is one word in a shell, and neither an option, nor replaced by the shell, nor unknown in part.
fn is_typed_as_it_is(name: &str) -> bool {
    is_plain(name) && !name.starts_with(['~', '=', '-']) && !name.contains(char::REPLACEMENT_CHARACTER)
}

/// Whether a shell takes a text as one word that stands for itself, apart from `~` at its start.
fn is_plain(text: &str) -> bool {
    let is_plain = |c: char| match c {
        c if c.is_ascii() => c.is_ascii_alphanumeric() || "@%+=:,./_-~".contains(c),
        c => is_printable(c, ' ') && !c.is_whitespace(),
    };
    !text.is_empty() && text.chars().all(is_plain)
}

/// A shell whose script or values are not those of `clap_complete`.
struct AdaptedShell<S> {
    shell: S,
    /// A script of rigup's own: `clap_complete`'s script for bash passes the parts of a word such as `pip:ruff` as words, and
    /// that for zsh ends the word `pip:` with a space.
    script: Option<&'static str>,
    /// Whether only plain values are offered, because the shell inserts values into the command line without quoting them.
    needs_plain_values: bool,
}

impl<S: EnvCompleter> EnvCompleter for AdaptedShell<S> {
    fn name(&self) -> &'static str {
        self.shell.name()
    }

    fn is(&self, name: &str) -> bool {
        self.shell.is(name)
    }

    fn write_registration(
        &self,
        var: &str,
        name: &str,
        bin: &str,
        completer: &str,
        buf: &mut dyn Write,
    ) -> io::Result<()> {
        match self.script {
            Some(script) => {
                buf.write_all(script.replace(PLACEHOLDER, &shell::quote_text(completer)).as_bytes())
            }
            None => self.shell.write_registration(var, name, bin, completer, buf),
        }
    }

    fn write_complete(
        &self,
        command: &mut Command,
        words: Vec<OsString>,
        folder: Option<&Path>,
        buf: &mut dyn Write,
    ) -> io::Result<()> {
        if !self.needs_plain_values {
            return self.shell.write_complete(command, words, folder, buf);
        }
        let mut lines = Vec::new();
        self.shell.write_complete(command, words, folder, &mut lines)?;
        // PowerShell gets the description after a tab.
        for line in String::from_utf8_lossy(&lines).split_inclusive('\n') {
            let value = line.split(['\n', '\t']).next().unwrap_or_default();
            if is_plain(value) {
                buf.write_all(line.as_bytes())?;
            }
        }
        Ok(())
    }
}

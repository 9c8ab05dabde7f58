//! What people type from habit or by mistake: other names of commands, and tips for commands and options that rigup does not
//! have. clap is built without suggestions of its own, because it takes `--all` for `--postinstall-scripts`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgMatches, Command};

use crate::model::misspelling;

/// Names that mean the same as a command. Help and completions do not show them.
const ALIASES: [(&str, &str); 15] = [
    ("add", "install"),
    ("binaries", "list"),
    ("completion", "completions"),
    ("diagnose", "doctor"),
    ("exe", "exec"),
    ("explain", "why"),
    ("i", "install"),
    ("log", "logs"),
    ("ls", "list"),
    ("remove", "uninstall"),
    ("rm", "uninstall"),
    ("settings", "config"),
    ("shellenv", "env"),
    ("un", "uninstall"),
    ("where", "which"),
];

/// Names that mean something else or several things, each with the command to use.
const TIPS: [(&str, &str); 57] = [
    ("activate", ENV),
    ("bundle", "`rigup install` installs everything that the plugins require, and `rigup load` checks it"),
    ("cache", "`rigup uninstall --orphaned` and `rigup process gc --dry-run` show what can be removed"),
    ("check", "`rigup doctor` checks the installation, and `rigup lock --check` the lock file"),
    ("ci", LOCKED),
    ("clean", CLEAN),
    ("create", INIT),
    ("current", "`rigup list` lists the installed versions"),
    ("daemon", "`rigup up` starts daemons, and `rigup ps` lists them"),
    ("daemons", "`rigup ps -a` lists the daemons"),
    ("delete", "`rigup uninstall` removes a binary, and `rigup binary delete` only its record and link"),
    ("deps", "`rigup plugin list` shows what each plugin requires"),
    ("downgrade", "`rigup install NAME@VERSION` installs that version"),
    ("ensurepath", ENV),
    ("freeze", LOCK),
    ("gc", CLEAN),
    ("get", "`rigup config SETTING` shows a setting, and `rigup install NAME` installs a binary"),
    ("health", DOCTOR),
    ("hooks", "`rigup hook list` shows the hooks"),
    ("info", SHOW),
    ("kill", "`rigup process kill` terminates processes, and `rigup stop` stops daemons"),
    ("new", INIT),
    ("pin", LOCK),
    ("plugins", "`rigup plugin list` shows the plugins"),
    ("processes", "`rigup process list` shows the processes"),
    ("providers", "`rigup hook list BinaryRequest` shows the providers in their order"),
    ("prune", CLEAN),
    ("reinstall", "`rigup install --force NAME` installs a binary again"),
    ("replay", REPLAY),
    ("rerun", REPLAY),
    (
        "reshim",
        "`rigup env` puts one folder with a link for each binary on PATH; there are no shims to write again",
    ),
    ("run-hooks", "`rigup run` runs the hooks of an event"),
    (
        "search",
        "rigup searches no registry; `rigup install --dry-run NAME` shows which providers would be tried",
    ),
    ("self-update", SELF),
    ("selfupdate", SELF),
    ("service", SERVICES),
    ("services", SERVICES),
    ("set", "`rigup config set` changes a setting"),
    ("shell", ENV),
    ("show", SHOW),
    ("shutdown", "`rigup down` stops all daemons and their supervisor"),
    (
        "status",
        "`rigup list` shows the binaries, `rigup ps` the daemons, and `rigup process list` the processes",
    ),
    ("sync", LOCKED),
    ("tail", "`rigup logs -f` follows the logs of daemons"),
    ("task", TASKS),
    ("tasks", TASKS),
    ("test", "`rigup hook test` tests a hook"),
    ("tool", "`rigup why` explains how a binary was installed"),
    ("tree", "`rigup process tree` shows which process started which"),
    ("update", "`rigup upgrade` installs newer versions"),
    ("update-shell", ENV),
    ("upgrade-all", "`rigup upgrade` upgrades everything that is installed"),
    ("use", "`rigup install NAME@VERSION` installs a version; `rigup env` puts the binaries on PATH"),
    ("uses", "`rigup why` shows which plugins require a binary"),
    ("verify", "`rigup lock --check` checks the lock file, and `rigup load` what is installed"),
    ("version", "`rigup --version` prints the version"),
    ("x", "`rigup exec -- CMD` runs a command with the installed binaries on PATH"),
];

/// Options that other tools have, each with the commands that people type it for and what to do instead. `{}` stands for the
/// option as it was typed.
const OPTION_TIPS: [(&[&str], &[&str], &str); 9] = [
    (
        &["install", "list", "uninstall", "upgrade"],
        &["--global", "-g"],
        "leave out {}: rigup installs for all projects that use the same data dir",
    ),
    (
        &["install", "load", "lock"],
        &["--all", "-a"],
        "leave out {}: without names, the command applies to everything that the plugins require",
    ),
    (
        &["upgrade"],
        &["--all", "-a"],
        "leave out {}: without names, `rigup upgrade` upgrades everything that is installed",
    ),
    (&["install"], &["--frozen", "--frozen-lockfile", "--immutable"], LOCKED),
    (
        &["load"],
        &["--frozen", "--locked", "--lockfile"],
        "run `rigup install --locked`: it compares with the lock file and installs nothing if everything matches",
    ),
    (&["lock"], &["--frozen", "--locked"], "`rigup lock --check` checks the lock file without writing it"),
    (
        &["lock"],
        &["--update", "--upgrade", "-U"],
        "`rigup upgrade --lock` installs newer versions and updates the lock file",
    ),
    (&["install", "load", "lock"], &["--version", "-V"], "name a version as in `rigup install NAME@VERSION`"),
    (&["upgrade"], &["--version", "-V"], "name a version as in `rigup upgrade NAME@VERSION`"),
];

/// Names of the values that may begin with `-`.
const FREE_VALUES: [&str; 2] = ["HOOK ARGUMENTS", "TEXT"];

const CLEAN: &str =
    "`rigup process gc` removes expired records and logs, and `rigup uninstall --orphaned` unused files";
const DOCTOR: &str = "`rigup doctor` finds what does not work";
const ENV: &str = "`rigup env` prints what puts the installed binaries on PATH; there is nothing to switch";
const INIT: &str = "`rigup init plugin` and `rigup init provider` create one from a template";
const LOCK: &str = "`rigup lock` writes the installed versions to the lock file";
const LOCKED: &str = "`rigup install --locked` installs exactly what the lock file pins";
const REPLAY: &str = "`rigup process replay` runs the command of a process again";
const SELF: &str =
    "install a newer rigup in the way in which you installed this one; `rigup --version` prints its version";
const SERVICES: &str = "`rigup ps` lists the daemons, and `rigup up` starts them";
const SHOW: &str =
    "`rigup why` explains a binary, `rigup plugin show` a plugin, and `rigup process show` a process";
const TASKS: &str = "rigup has no tasks; `rigup run` runs the hooks of an event";

/// Adds the other names to the commands.
pub(crate) fn with_aliases(command: Command) -> Command {
    ALIASES.iter().fold(command, |command, (alias, name)| {
        command.mut_subcommand(name, |subcommand| subcommand.alias(*alias))
    })
}

/// Adds to an error of the parser what the arguments of this process may mean: what to do instead of what people type from
/// habit, and otherwise the command, option or value that the word looks like.
pub(crate) fn with_tip(mut error: clap::Error, commands: Command) -> clap::Error {
    let (kind, similar) = match error.kind() {
        ErrorKind::InvalidSubcommand => (ContextKind::InvalidSubcommand, ContextKind::SuggestedSubcommand),
        ErrorKind::UnknownArgument => (ContextKind::InvalidArg, ContextKind::SuggestedArg),
        ErrorKind::InvalidValue => (ContextKind::InvalidValue, ContextKind::SuggestedValue),
        _ => return error,
    };
    let Some(ContextValue::String(typed)) = error.get(kind).cloned() else { return error };
    let mut commands = commands.ignore_errors(true);
    commands.build();
    let command = named_command(&commands);
    let (tip, meant) = match (similar, error.get(ContextKind::ValidValue)) {
        (ContextKind::SuggestedSubcommand, _) => {
            // The subcommands of a command have no tips.
            let tip = tip(&typed).filter(|_| command.get_name() == commands.get_name());
            let names = command.get_subcommands().map(Command::get_name);
            (tip.map(str::to_owned), misspelling::closest(&typed, names).map(str::to_owned))
        }
        (ContextKind::SuggestedArg, _) if typed.starts_with('-') => {
            // A name does not begin with `-`, not even after `--`.
            if !takes_free_values(command) {
                error.remove(ContextKind::Suggested);
            }
            let meant = closest_option(&typed, command).map(|option| format!("--{option}"));
            let is_top = commands.get_subcommands().any(|top| std::ptr::eq(top, command));
            let tip = option_tip(command.get_name(), &typed).filter(|_| is_top);
            (tip.or_else(|| option_of_subcommand(&typed, command).filter(|_| meant.is_none())), meant)
        }
        (_, Some(ContextValue::Strings(values))) => {
            let values = values.iter().map(String::as_str);
            (None, misspelling::closest(&typed, values).map(str::to_owned))
        }
        _ => return error,
    };
    match (tip, meant) {
        (Some(tip), _) => {
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(tip)]));
        }
        (None, Some(meant)) => {
            error.insert(similar, ContextValue::String(meant));
        }
        (None, None) => {}
    }
    error
}

/// Returns the command that the arguments of this process name, according to a parser that ignores errors.
fn named_command(commands: &Command) -> &Command {
    let matches = commands.clone().try_get_matches().ok();
    let mut named = (commands, matches.as_ref());
    while let (command, Some((name, matches))) = (named.0, named.1.and_then(ArgMatches::subcommand)) {
        let Some(subcommand) = command.find_subcommand(name) else { break };
        named = (subcommand, Some(matches));
    }
    named.0
}

fn takes_free_values(command: &Command) -> bool {
    let mut names = command.get_positionals().filter_map(Arg::get_value_names).flatten();
    names.any(|name| FREE_VALUES.contains(&name.as_str()))
}

/// Returns the long option that a long one looks like.
fn closest_option<'a>(typed: &str, command: &'a Command) -> Option<&'a str> {
    let shown = command.get_arguments().filter(|argument| !argument.is_hide_set());
    misspelling::closest(typed.strip_prefix("--")?, shown.filter_map(Arg::get_long))
}

/// Returns that a subcommand among the arguments of this process has the option that was typed before it.
fn option_of_subcommand(typed: &str, command: &Command) -> Option<String> {
    let subcommand = std::env::args_os().skip(1).find_map(|word| command.find_subcommand(word))?;
    let option = closest_option(typed, subcommand)?;
    Some(format!("'{} --{option}' exists", subcommand.get_name()))
}

fn option_tip(command: &str, typed: &str) -> Option<String> {
    let is_meant = |(commands, options, _): &&(&[&str], &[&str], &str)| {
        commands.contains(&command) && options.contains(&typed)
    };
    OPTION_TIPS.iter().find(is_meant).map(|(_, _, tip)| tip.replace("{}", typed))
}

/// Returns the value of an option that takes one, which may be a part of its word. The arguments after `--` are not rigup's.
pub(crate) fn value_of(option: &str, arguments: &[OsString]) -> Option<OsString> {
    let mut arguments = arguments.iter().take_while(|argument| *argument != "--");
    while let Some(argument) = arguments.next() {
        match argument.as_bytes().strip_prefix(option.as_bytes()) {
            Some(b"") => return arguments.next().cloned(),
            Some([b'=', value @ ..]) => return Some(OsStr::from_bytes(value).to_owned()),
            _ => {}
        }
    }
    None
}

fn tip(typed: &str) -> Option<&'static str> {
    TIPS.iter().find(|(name, _)| *name == typed).map(|(_, tip)| *tip)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_command(command: &Command, words: &[&str]) -> bool {
        match words {
            [] => true,
            [word, rest @ ..] => command.find_subcommand(word).is_some_and(|found| is_command(found, rest)),
        }
    }

    #[test]
    fn each_alias_and_tip_leads_to_a_command_and_hides_none() {
        let command = <crate::cli::Cli as clap::CommandFactory>::command();
        for (alias, name) in ALIASES {
            assert!(!is_command(&command, &[alias]), "{alias} is a command");
            assert!(is_command(&command, &[name]), "{name} is not a command");
            assert!(tip(alias).is_none(), "{alias} has a tip, too");
        }
        for (typed, tip) in TIPS {
            assert!(!is_command(&command, &[typed]), "{typed} is a command");
            assert!(tip.contains('`'), "{typed}: the tip names no command");
            assert_names_commands(&command, tip);
        }
        for (names, options, tip) in OPTION_TIPS {
            assert_names_commands(&command, tip);
            for name in names {
                let named = command.find_subcommand(name).unwrap();
                let has_option = |option: &&str| {
                    named.get_arguments().any(|argument| {
                        argument.get_long().is_some_and(|long| option.strip_prefix("--") == Some(long))
                            || argument.get_short().is_some_and(|short| **option == format!("-{short}"))
                    })
                };
                assert_eq!(options.iter().find(|option| has_option(option)), None, "{name}");
            }
        }
    }

    fn assert_names_commands(command: &Command, tip: &str) {
        for named in tip.split('`').skip(1).step_by(2) {
            let is_word = |word: &&str| word.bytes().all(|byte| byte.is_ascii_lowercase());
            let words = named.strip_prefix("rigup ").unwrap().split(' ').take_while(is_word);
            assert!(is_command(command, &words.collect::<Vec<&str>>()), "{tip}");
        }
    }

    #[test]
    fn the_value_of_an_option_is_the_next_word_or_the_rest_of_its_word() {
        let value = |line: &str| {
            let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            value_of("--ci", &arguments).map(|value| value.into_string().unwrap())
        };
        assert_eq!(value("install --ci github x").as_deref(), Some("github"));
        assert_eq!(value("install --bad --ci=azure").as_deref(), Some("azure"));
        assert_eq!(
            [value("exec -- --ci github"), value("install --cid x"), value("install --ci")],
            [None, None, None]
        );
    }

    #[test]
    fn the_names_are_sorted_and_occur_once() {
        assert!(ALIASES.is_sorted_by(|one, other| one.0 < other.0));
        assert!(TIPS.is_sorted_by(|one, other| one.0 < other.0));
    }
}

//! What people type from habit: other names of commands, and tips for commands that rigup does not have.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use clap::Command;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

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
const TIPS: [(&str, &str); 43] = [
    ("activate", ENV),
    ("cache", "`rigup uninstall --orphaned` and `rigup process gc` show what can be removed"),
    ("check", "`rigup doctor` checks the installation, and `rigup lock --check` the lock file"),
    ("ci", LOCKED),
    ("clean", CLEAN),
    ("create", INIT),
    ("daemon", "`rigup up` starts daemons, and `rigup ps` lists them"),
    ("daemons", "`rigup ps -a` lists the daemons"),
    ("delete", "`rigup uninstall` removes a binary, and `rigup binary delete` only its record and link"),
    ("deps", "`rigup plugin list` shows what each plugin requires"),
    ("downgrade", "`rigup install NAME@VERSION` installs that version"),
    ("freeze", LOCK),
    ("gc", CLEAN),
    ("get", "`rigup config SETTING` shows a setting, and `rigup install NAME` installs a binary"),
    ("health", DOCTOR),
    ("hooks", "`rigup hook list` shows the hooks"),
    ("info", SHOW),
    ("kill", "`rigup process kill` terminates processes, and `rigup stop` stops daemons"),
    ("new", INIT),
    ("outdated", "`rigup upgrade --dry-run` shows which binaries would be resolved again"),
    ("pin", LOCK),
    ("plugins", "`rigup plugin list` shows the plugins"),
    ("processes", "`rigup process list` shows the processes"),
    ("providers", "`rigup hook list BinaryRequest` shows the providers in their order"),
    ("prune", CLEAN),
    ("reinstall", "`rigup install --force NAME` installs a binary again"),
    ("replay", "`rigup process replay` runs the command of a process again"),
    ("run-hooks", "`rigup run` runs the hooks of an event"),
    (
        "search",
        "rigup searches no registry; `rigup install --dry-run NAME` shows which providers would be tried",
    ),
    ("self-update", SELF),
    ("selfupdate", SELF),
    ("set", "`rigup config set` changes a setting"),
    ("shell", ENV),
    ("show", SHOW),
    (
        "status",
        "`rigup list` shows the binaries, `rigup ps` the daemons, and `rigup process list` the processes",
    ),
    ("sync", LOCKED),
    ("test", "`rigup hook test` tests a hook"),
    ("tree", "`rigup process tree` shows which process started which"),
    ("update", "`rigup upgrade` installs newer versions"),
    ("use", "`rigup install NAME@VERSION` installs a version; `rigup env` puts the binaries on PATH"),
    ("verify", "`rigup lock --check` checks the lock file, and `rigup load` what is installed"),
    ("version", "`rigup --version` prints the version"),
    ("x", "`rigup exec -- CMD` runs a command with the installed binaries on PATH"),
];

/// The similarity from which a word is taken for a misspelled command, from 0 to 1: `instal` and `lst`, but not `tap` for
/// `stop` or `tasks` for `stats`, which clap suggests from 0.7.
const MIN_SIMILARITY: f64 = 0.8;

const CLEAN: &str =
    "`rigup process gc` removes expired records and logs, and `rigup uninstall --orphaned` unused files";
const DOCTOR: &str = "`rigup doctor` finds what does not work";
const ENV: &str = "`rigup env` prints what puts the installed binaries on PATH; there is nothing to switch";
const INIT: &str = "`rigup init plugin` and `rigup init provider` create one from a template";
const LOCK: &str = "`rigup lock` writes the installed versions to the lock file";
const LOCKED: &str = "`rigup install --locked` installs exactly what the lock file pins";
const SELF: &str =
    "install a newer rigup in the way in which you installed this one; `rigup --version` prints its version";
const SHOW: &str =
    "`rigup why` explains a binary, `rigup plugin show` a plugin, and `rigup process show` a process";

/// Adds the other names to the commands.
pub(crate) fn with_aliases(command: Command) -> Command {
    ALIASES.iter().fold(command, |command, (alias, name)| {
        command.mut_subcommand(name, |subcommand| subcommand.alias(*alias))
    })
}

/// Replaces the similar commands in the error for an unknown one: by the command to use if people type that name from
/// habit, and otherwise by the most similar one.
pub(crate) fn with_tip(mut error: clap::Error) -> clap::Error {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return error;
    }
    let typed = error.get(ContextKind::InvalidSubcommand).map(ToString::to_string);
    if let Some(ContextValue::Strings(similar)) = error.remove(ContextKind::SuggestedSubcommand) {
        let is_alias = |name: &String| ALIASES.iter().any(|(alias, _)| alias == name);
        let is_meant = |name: &String| {
            typed.as_ref().is_some_and(|typed| strsim::jaro(typed, name) >= MIN_SIMILARITY) && !is_alias(name)
        };
        // clap sorts them, the most similar last.
        let most_similar: Vec<String> = similar.into_iter().rfind(is_meant).into_iter().collect();
        if !most_similar.is_empty() {
            error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(most_similar));
        }
    }
    // The subcommands of a command have no tips.
    let mut arguments = std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
    let first = arguments.find(|argument| !argument.starts_with('-'));
    let tip = typed.filter(|typed| Some(typed) == first.as_ref()).and_then(|typed| tip(&typed));
    if let Some(tip) = tip {
        error.remove(ContextKind::SuggestedSubcommand);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(tip)]));
    }
    error
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
            let mut commands = tip.split('`').skip(1).step_by(2).peekable();
            assert!(commands.peek().is_some(), "{typed}: the tip names no command");
            for named in commands {
                let is_word = |word: &&str| word.bytes().all(|byte| byte.is_ascii_lowercase());
                let words = named.strip_prefix("rigup ").unwrap().split(' ').take_while(is_word);
                let words: Vec<&str> = words.collect();
                assert!(is_command(&command, &words), "{typed}: {named}");
            }
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

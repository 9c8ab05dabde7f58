//! The checks of the hook contract.

use std::fmt;
use std::str::FromStr;

use crate::plugin::hook_name::{BINARY_REQUEST, HookName};

/// One check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// The grammar of the file name.
    Name,
    /// Exec bit, shebang, interpreter.
    Starts,
    /// A good request.
    Answer,
    /// A name that does not exist.
    Absent,
    /// A request that does not allow the provider.
    NotAsked,
    /// Several requests at once.
    Batch,
    /// Unknown and repeated arguments.
    UnknownArguments,
    /// Shell syntax in arguments.
    Hostile,
    /// An argument of 100 KiB.
    Huge,
    /// The lines on stdout.
    Stdout,
    /// The same request again.
    Repeat,
    /// TERM in the middle of the work.
    Term,
    /// Processes that outlive the hook.
    Leftovers,
    /// Folders on a read-only file system.
    ReadOnly,
    /// Folders on a full file system.
    Full,
}

impl Check {
    /// All checks, in the order in which they are reported.
    pub const ALL: [Self; 15] = [
        Self::Name,
        Self::Starts,
        Self::Answer,
        Self::Absent,
        Self::NotAsked,
        Self::Batch,
        Self::UnknownArguments,
        Self::Hostile,
        Self::Huge,
        Self::Stdout,
        Self::Repeat,
        Self::Term,
        Self::Leftovers,
        Self::ReadOnly,
        Self::Full,
    ];

    /// Returns the short name in reports and on the command line.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Starts => "starts",
            Self::Answer => "answer",
            Self::Absent => "absent",
            Self::NotAsked => "not-asked",
            Self::Batch => "batch",
            Self::UnknownArguments => "unknown-arguments",
            Self::Hostile => "hostile",
            Self::Huge => "huge",
            Self::Stdout => "stdout",
            Self::Repeat => "repeat",
            Self::Term => "term",
            Self::Leftovers => "leftovers",
            Self::ReadOnly => "read-only",
            Self::Full => "full",
        }
    }

    /// Returns what a hook promises.
    pub const fn promise(self) -> &'static str {
        match self {
            Self::Name => "its file is named on_<Event>__<NN>_<name>.<ext>",
            Self::Starts => "it can be started by its shebang or by the interpreter of its language",
            Self::Answer => "a request that it can satisfy gets a valid Binary record and exit code 0",
            Self::Absent => "it prints no record for a name that does not exist, and exits on its own",
            Self::NotAsked => {
                "if the request does not allow it, it declines or exits with 10, and installs nothing"
            }
            Self::Batch => "in a batch, each request gets the result that it gets alone",
            Self::UnknownArguments => {
                "unknown arguments change nothing, and the last of a repeated argument counts"
            }
            Self::Hostile => {
                "shell syntax in arguments is not run, not printed raw and not reported as installed"
            }
            Self::Huge => "an argument of 100 KiB changes nothing",
            Self::Stdout => "each line that looks like a record is one, and no line is over 1 MiB",
            Self::Repeat => "the same request gets the same result again",
            Self::Term => "after TERM it exits within 5 s, leaves no process and reports no success",
            Self::Leftovers => "no process that it started outlives it",
            Self::ReadOnly => "on a read-only file system it exits, and reports nothing that does not exist",
            Self::Full => "on a full file system it exits, and reports nothing that does not exist",
        }
    }

    /// Whether the check applies to hooks of any event, and not to providers alone.
    pub const fn is_of_any_event(self) -> bool {
        !matches!(self, Self::Answer | Self::Absent | Self::NotAsked | Self::Batch | Self::Repeat)
    }

    /// Whether the check applies to this hook.
    pub fn applies_to(self, hook: &HookName) -> bool {
        match self {
            Self::Batch => hook.is_batch,
            _ => self.is_of_any_event() || hook.event == BINARY_REQUEST,
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// A word that names no check.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown item {word}; the items are {}", Check::ALL.map(Check::id).join(", "))]
pub struct UnknownCheck {
    word: String,
}

impl FromStr for Check {
    type Err = UnknownCheck;

    fn from_str(word: &str) -> Result<Self, UnknownCheck> {
        let word = word.trim();
        let check = Self::ALL.into_iter().find(|check| check.id() == word);
        check.ok_or_else(|| UnknownCheck { word: word.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_is_found_by_its_short_name() {
        for check in Check::ALL {
            assert_eq!(check.id().parse(), Ok(check));
        }
        let error = "nothing".parse::<Check>().unwrap_err().to_string();
        assert!(error.starts_with("unknown item nothing; the items are name, starts, answer"), "{error}");
    }
}

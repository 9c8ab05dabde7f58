//! The items of the contract that a hook is held to.

use std::fmt;
use std::str::FromStr;

use crate::plugin::hook_name::{BINARY_REQUEST, HookName};

/// One item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    /// The grammar of its file name.
    Name,
    /// Exec bit, shebang, interpreter.
    Starts,
    /// A good request.
    Answer,
    /// A name that nobody provides.
    Absent,
    /// A request to other providers.
    NotAsked,
    /// Several requests at once.
    Batch,
    /// Unknown and repeated arguments.
    UnknownArguments,
    /// Shell text in arguments.
    Hostile,
    /// An argument of 100 KiB.
    Huge,
    /// What it prints.
    Stdout,
    /// The same request again.
    Repeat,
    /// TERM in the middle.
    Term,
    /// Processes that it leaves.
    Leftovers,
    /// Folders that cannot be written.
    ReadOnly,
    /// Folders without room.
    Full,
}

impl Item {
    /// All of them, in the order in which they are reported.
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

    /// Its short name, in reports and on the command line.
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

    /// What a hook promises by it.
    pub const fn promise(self) -> &'static str {
        match self {
            Self::Name => "its file is called on_<Event>__<NN>_<name>.<ext>",
            Self::Starts => {
                "it can be started: by its exec bit and shebang, or by its language's interpreter"
            }
            Self::Answer => "what it can provide is answered by a true Binary record and exit 0",
            Self::Absent => "what nobody provides is not claimed, and it ends by itself",
            Self::NotAsked => "where only others are asked, it declines or exits 10, and installs nothing",
            Self::Batch => "of two requests at once, each gets the answer that it would get alone",
            Self::UnknownArguments => {
                "arguments it does not know change nothing; of a repeated one the last counts"
            }
            Self::Hostile => {
                "shell text in its arguments is not run, not printed raw, and not claimed as installed"
            }
            Self::Huge => "an argument of 100 KiB does it no harm",
            Self::Stdout => "what begins like a record is one, and no line is over 1 MiB",
            Self::Repeat => "asked again, it answers the same",
            Self::Term => {
                "ended in the middle, it obeys TERM within 5 s, leaves nothing, and claims no success"
            }
            Self::Leftovers => "once it is over, none of its processes is left",
            Self::ReadOnly => "where its folders are read-only, it ends and claims nothing that is not there",
            Self::Full => {
                "where its folders have no space left, it ends and claims nothing that is not there"
            }
        }
    }

    /// Whether it applies to hooks that are no providers, too.
    pub const fn is_of_any_event(self) -> bool {
        !matches!(self, Self::Answer | Self::Absent | Self::NotAsked | Self::Batch | Self::Repeat)
    }

    /// Whether it applies to this hook.
    pub fn is_of(self, hook: &HookName) -> bool {
        match self {
            Self::Batch => hook.is_batch,
            _ => self.is_of_any_event() || hook.event == BINARY_REQUEST,
        }
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// A word that is no item.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no item {word}; there are {}", Item::ALL.map(Item::id).join(", "))]
pub struct UnknownItem {
    word: String,
}

impl FromStr for Item {
    type Err = UnknownItem;

    fn from_str(word: &str) -> Result<Self, UnknownItem> {
        let word = word.trim();
        Self::ALL.into_iter().find(|it| it.id() == word).ok_or_else(|| UnknownItem { word: word.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_found_by_its_own_short_name() {
        for item in Item::ALL {
            assert_eq!(item.id().parse(), Ok(item));
        }
        let error = "nothing".parse::<Item>().unwrap_err().to_string();
        assert!(error.starts_with("there is no item nothing; there are name, starts, answer"), "{error}");
    }
}

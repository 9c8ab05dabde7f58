//! The grammar of hook file names: `on_<Event>__<NN>_<name>[.finite|.daemon][.bg].<ext>`, and for providers
//! `on_BinaryRequest__<NN>_<name>[.batch].<ext>` and `on_BinaryVersions__<NN>_<name>[.batch].<ext>`.

use std::cmp::Ordering;
use std::path::Path;

use crate::model::misspelling::closest;

/// The event of provider hooks.
pub(crate) const BINARY_REQUEST: &str = "BinaryRequest";

/// The event of the hooks with which providers list the versions that they can install.
pub(crate) const BINARY_VERSIONS: &str = "BinaryVersions";

/// A parsed file name of a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookName {
    /// The complete file name.
    pub file_name: String,
    /// The event, without any trailing `Event`.
    pub event: String,
    /// The number by which hooks of an event are sorted; `None` sorts first.
    pub order: Option<u64>,
    /// The part between the number and the first dot.
    pub name: String,
    /// How the hook runs in the background, or `None` if it does not.
    pub background: Option<Background>,
    /// Whether the hook of a provider takes all waiting requests at once (`.batch.`).
    pub is_batch: bool,
    /// The part after the last dot; empty if there is none.
    pub extension: String,
}

/// The kind of a background hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Background {
    /// The hook exits by itself, and rigup waits for it (`.finite.bg.`).
    Finite,
    /// rigup terminates the hook at the end of the event (`.daemon.bg.`, or only `.bg.`).
    Daemon,
}

impl HookName {
    /// Parses a file name, or returns `None` if it is not the name of a hook.
    pub fn parse(file_name: &str) -> Option<Self> {
        let (event, rest) = file_name.strip_prefix("on_")?.split_once("__")?;
        let (stem, extension) = rest.rsplit_once('.').unwrap_or((rest, ""));
        let (order, named) = split_number(stem);
        let (name, modifiers) = named.split_once('.').unwrap_or((named, ""));
        let event = canonical_event(event);
        let is_older_spelling = event == "Binary" && name.contains("install");
        let event = if is_older_spelling { BINARY_REQUEST } else { event };
        if event.is_empty() || (name.is_empty() && order.is_none()) {
            return None;
        }
        Some(Self {
            file_name: file_name.to_owned(),
            event: event.to_owned(),
            order,
            name: name.to_owned(),
            background: background(name, modifiers),
            is_batch: is_of_provider(event) && has_modifier(modifiers, "batch"),
            extension: extension.to_owned(),
        })
    }

    /// Parses the file name of a path, or returns `None` if it is not the name of a hook.
    pub fn of_file(path: &Path) -> Option<Self> {
        Self::parse(&path.file_name()?.to_string_lossy())
    }

    /// Whether the name says that the hook runs until its event ends (`.daemon.bg.`, but not only `.bg.`).
    pub(crate) fn is_named_daemon(&self) -> bool {
        self.background == Some(Background::Daemon) && self.file_name.contains(".daemon.")
    }

    /// Returns the file name without the part after the last dot.
    pub(crate) fn without_extension(&self) -> &str {
        self.file_name.rsplit_once('.').map_or(&self.file_name, |(stem, _)| stem)
    }

    /// Compares by the order in which hooks of one event run: number, then name, then plugin.
    pub fn cmp_with_plugins(&self, plugin: &str, other: &Self, other_plugin: &str) -> Ordering {
        (self.order, &self.name, plugin, &self.file_name).cmp(&(
            other.order,
            &other.name,
            other_plugin,
            &other.file_name,
        ))
    }
}

/// Returns the name of a hook that a misspelled one stands for, or `None` if it is not misspelled or could stand for several.
pub(crate) fn intended(file_name: &str) -> Option<String> {
    let start = file_name.get(..3).filter(|start| start.eq_ignore_ascii_case("on_"))?;
    let rest = &file_name[start.len()..];
    // The number is where the second part of a name begins.
    let numbered = || {
        let mut parts = rest.match_indices('_').map(|(at, _)| (&rest[..at], &rest[at + 1..]));
        parts.find(|(_, named)| named.starts_with(|c: char| c.is_ascii_digit()))
    };
    let only = || rest.split_once('_').filter(|(event, _)| is_like_binary_request(event));
    let (event, named) = rest.split_once("__").or_else(numbered).or_else(only)?;
    let event = if is_like_binary_request(event) { BINARY_REQUEST } else { event };
    let name = format!("on_{event}__{named}");
    (name != file_name && HookName::parse(&name).is_some()).then_some(name)
}

/// Whether the name of an event differs from that of provider hooks only by a few characters.
fn is_like_binary_request(event: &str) -> bool {
    closest(event, [BINARY_REQUEST]).is_some()
}

/// Whether the hooks of an event are those of providers, which get requests.
pub(crate) fn is_of_provider(event: &str) -> bool {
    [BINARY_REQUEST, BINARY_VERSIONS].contains(&event)
}

/// Returns an event's name without a trailing `Event`: `SnapshotEvent` is `Snapshot`.
pub fn canonical_event(event: &str) -> &str {
    event.trim_end_matches("Event")
}

/// Splits off the number: `10_npm` is 10 and `npm`, but `npm` and `10npm` have no number. A number that does not fit
/// into 64 bits becomes the largest 64-bit number.
fn split_number(stem: &str) -> (Option<u64>, &str) {
    let digits = stem.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = stem.split_at(digits);
    let number = (!number.is_empty()).then(|| number.parse().unwrap_or(u64::MAX));
    match (number, rest.strip_prefix('_')) {
        (Some(_), Some(name)) => (number, name),
        (Some(_), None) if rest.is_empty() || rest.starts_with('.') => (number, rest),
        _ => (None, stem),
    }
}

fn has_modifier(modifiers: &str, modifier: &str) -> bool {
    modifiers.split('.').any(|known| known == modifier)
}

fn background(name: &str, modifiers: &str) -> Option<Background> {
    if !has_modifier(modifiers, "bg") && !name.ends_with("__background") {
        None
    } else if has_modifier(modifiers, "finite") {
        Some(Background::Finite)
    } else {
        Some(Background::Daemon)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(file_name: &str) -> HookName {
        HookName::parse(file_name).unwrap()
    }

    #[test]
    fn a_name_splits_at_its_first_double_underscore() {
        let hook = parse("on_Snapshot__10_foo__bar.py");
        assert_eq!((hook.event.as_str(), hook.order, hook.name.as_str()), ("Snapshot", Some(10), "foo__bar"));
        assert_eq!(hook.extension, "py");
    }

    #[test]
    fn hooks_without_a_number_sort_first_and_numbers_by_value() {
        let mut names =
            ["on_E__10_a.sh", "on_E__9_a.sh", "on_E__b.sh", "on_E__10_A.sh", "on_E__2_z.sh"].map(parse);
        crate::sorting::sort_by(&mut names, |a, b| a.cmp_with_plugins("p", b, "p"));
        let sorted = names.map(|name| name.file_name);
        assert_eq!(sorted, ["on_E__b.sh", "on_E__2_z.sh", "on_E__9_a.sh", "on_E__10_A.sh", "on_E__10_a.sh"]);
    }

    #[test]
    fn equal_hook_names_are_ordered_by_plugin() {
        let name = parse("on_E__10_a.sh");
        assert_eq!(name.cmp_with_plugins("x", &name, "y"), Ordering::Less);
    }

    #[test]
    fn only_bg_between_dots_makes_a_hook_background() {
        assert_eq!(parse("on_E__1_x.daemon.bg.js").background, Some(Background::Daemon));
        assert_eq!(parse("on_E__1_x.finite.bg.py").background, Some(Background::Finite));
        assert_eq!(parse("on_E__1_x.bg.sh").background, Some(Background::Daemon));
        assert_eq!(parse("on_E__1_x__background.js").background, Some(Background::Daemon));
        for foreground in ["on_E__1_bgcolor.py", "on_E__1_foo.bg", "on_E__1_x_bg.py", "on_E__1_x.finite.sh"] {
            assert_eq!(parse(foreground).background, None, "{foreground}");
        }
    }

    #[test]
    fn only_a_provider_can_have_a_batch_hook() {
        assert!(parse("on_BinaryRequest__13_apt.batch.sh").is_batch);
        assert!(!parse("on_BinaryRequest__13_batch.sh").is_batch);
        assert!(parse("on_BinaryVersions__13_apt.batch.sh").is_batch);
        assert!(!parse("on_Snapshot__13_apt.batch.sh").is_batch);
    }

    #[test]
    fn accepts_older_spellings_of_event_names() {
        assert_eq!(parse("on_SnapshotEvent__1_x.sh").event, "Snapshot");
        assert_eq!(parse("on_Binary__10_npm_install.py").event, "BinaryRequest");
        assert_eq!(parse("on_Binary__10_check.py").event, "Binary");
    }

    #[test]
    fn rejects_other_file_names() {
        for other in ["", "on_", "on_x.sh", "on___x.sh", "on_Event__x.sh", "config.json", "On_E__1_x.sh"] {
            assert_eq!(HookName::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_repeated_event_suffix_is_dropped_as_a_whole() {
        let listed = parse("on_SnapshotEventEvent__1_x.sh").event;
        assert_eq!((listed.as_str(), canonical_event(&listed)), ("Snapshot", "Snapshot"));
        assert_eq!(HookName::parse("on_EventEvent__1_x.sh"), None);
    }

    #[test]
    fn a_number_that_is_too_large_sorts_last() {
        let (long, last) =
            (parse("on_E__99999999999999999999_x.sh"), parse("on_E__18446744073709551615_w.sh"));
        assert_eq!((long.order, long.name.as_str()), (Some(u64::MAX), "x"));
        assert_eq!(long.cmp_with_plugins("p", &last, "p"), Ordering::Greater);
    }

    #[test]
    fn a_misspelled_name_stands_for_that_of_a_hook() {
        for (misspelled, name) in [
            ("on_BinaryRequest_50_x.sh", "on_BinaryRequest__50_x.sh"),
            ("on_Snapshot_50_x.finite.bg.py", "on_Snapshot__50_x.finite.bg.py"),
            ("On_BinaryRequest__50_x.sh", "on_BinaryRequest__50_x.sh"),
            ("on_binary_request_50_x.sh", "on_BinaryRequest__50_x.sh"),
            ("on_binaryrequest__50_x.sh", "on_BinaryRequest__50_x.sh"),
            ("on_BinaryRequests__x", "on_BinaryRequest__x"),
            ("on_BinaryRequest_x.sh", "on_BinaryRequest__x.sh"),
        ] {
            assert_eq!(intended(misspelled).as_deref(), Some(name), "{misspelled}");
        }
        for other in [
            "on_BinaryRequest__50_x.sh",
            "on_BinaryRequestEvent__50_x.sh",
            "on_BinaryRequestEnd__50_x.sh",
            "on_Binary__10_npm_install.py",
            "on_Snapshot__x.sh",
            "on_my_event_x.sh",
            "on_E.md",
            "once.sh",
        ] {
            assert_eq!(intended(other), None, "{other}");
        }
    }

    proptest::proptest! {
        #[test]
        fn parses_or_rejects_any_file_name_and_keeps_it(name in "(on_)?.{0,40}") {
            if let Some(hook) = HookName::parse(&name) {
                proptest::prop_assert_eq!(hook.file_name, name);
            }
        }
    }
}

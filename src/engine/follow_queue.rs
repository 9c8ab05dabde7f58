//! The records of hooks that start events of their types: which of them do, and with which arguments.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::ffi::OsString;

use serde_json::{Map, Value};

use crate::clock;
use crate::engine::event_request::Follow;
use crate::hook::command;
use crate::model::ProcessId;
use crate::plugin::hook_name::canonical_event;
use crate::sorting::collect_sorted;

/// The longest id of a record that names an output dir, in bytes.
const MAX_ID: usize = 64;

/// The fields of a record that are not arguments: its type, and those that rigup adds when it prints a record.
const NO_ARGUMENTS: [&str; 3] = ["type", "plugin", "hook_name"];

/// The fields that may differ in records of the same value.
const NOT_COMPARED: [&str; 2] = ["id", "depth"];

/// An event that a record starts.
#[derive(Debug)]
pub(super) struct FollowedEvent {
    /// Its name, the type of the record.
    pub name: String,
    /// The id of the record, or a new one; unique among the events with this name.
    pub id: String,
    /// How many records led to it.
    pub depth: u32,
    /// The process that ran the hook which printed the record.
    pub parent: ProcessId,
    /// The fields of the record.
    pub arguments: Vec<OsString>,
    /// The value by which a person knows it: the URL of the record, or else its id.
    pub value: String,
}

/// The events that wait to be started.
#[derive(Debug)]
pub(super) struct FollowQueue<'a> {
    follow: &'a Follow,
    waiting: VecDeque<FollowedEvent>,
    /// The values that started an event, and the ids of the events, by event.
    values: HashMap<String, HashSet<String>>,
    ids: HashMap<String, HashSet<String>>,
    /// How many records were too deep.
    too_deep: u64,
}

impl<'a> FollowQueue<'a> {
    /// Returns an empty queue. The command itself runs the events `names` with these arguments, so no record starts them
    /// again.
    pub(super) fn new(follow: &'a Follow, names: &[&str], arguments: &[OsString]) -> Self {
        let mut queue = Self {
            follow,
            waiting: VecDeque::new(),
            values: HashMap::new(),
            ids: HashMap::new(),
            too_deep: 0,
        };
        let url = arguments.iter().rev().find_map(|argument| argument.to_str()?.strip_prefix("--url="));
        for (name, url) in names.iter().filter_map(|name| Some((name, url?))) {
            queue.values.entry((*name).to_owned()).or_default().insert(url.trim().to_owned());
        }
        queue
    }

    /// Adds the event that a record starts, unless its type is not followed, it is too deep, or its value has already
    /// started one. `depth` is that of the event whose hook printed the record, and `parent` the process of that event.
    pub(super) fn add(&mut self, kind: &str, record: &Map<String, Value>, depth: u32, parent: ProcessId) {
        if !self.follow.follows(kind) {
            return;
        }
        let name = canonical_event(kind);
        let depth = depth.saturating_add(1);
        let max_depth = f64::from(self.follow.max_depth);
        if depth > self.follow.max_depth || stated_depth(record).is_some_and(|stated| stated > max_depth) {
            self.too_deep += 1;
            return;
        }
        let url = text(record, "url");
        let value = url.map_or_else(|| compared(record), str::to_owned);
        if !self.values.entry(name.to_owned()).or_default().insert(value) {
            return;
        }
        let ids = self.ids.entry(name.to_owned()).or_default();
        let stated_id = text(record, "id").filter(|id| is_folder_name(id) && !ids.contains(*id));
        let id = stated_id.map_or_else(|| clock::new_id().to_string(), str::to_owned);
        ids.insert(id.clone());
        let value = url.map_or_else(|| id.clone(), str::to_owned);
        let arguments = arguments(name, record, &id, depth);
        self.waiting.push_back(FollowedEvent { name: name.to_owned(), id, depth, parent, arguments, value });
    }

    /// Returns the next event.
    pub(super) fn next(&mut self) -> Option<FollowedEvent> {
        self.waiting.pop_front()
    }

    /// Drops the events that were not started, and returns their number.
    pub(super) fn clear(&mut self) -> usize {
        self.waiting.drain(..).count()
    }

    /// Returns how many records started no event because they were too deep.
    pub(super) fn too_deep(&self) -> u64 {
        self.too_deep
    }
}

/// Gives a record that may start an event an id, unless it has one, so that the event can be found by the record.
pub(super) fn add_id(record: &mut Map<String, Value>) {
    if text(record, "id").is_none() {
        record.insert("id".to_owned(), clock::new_id().to_string().into());
    }
}

/// Returns the arguments of the hooks of an event: the fields of its record, the depth, and `<event>_id`.
fn arguments(name: &str, record: &Map<String, Value>, id: &str, depth: u32) -> Vec<OsString> {
    let is_argument = |key: &str| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        !key.is_empty()
            && key.bytes().all(is_plain)
            && !key.starts_with(['-', '_'])
            && !NO_ARGUMENTS.contains(&key)
    };
    let id_key = format!("{}_id", snake_case(name));
    let added = [("depth", Value::from(depth)), (&id_key, Value::from(id))];
    let added = added.into_iter().filter(|(key, _)| record.get(*key).is_none_or(Value::is_null));
    let stated = record.iter().filter(|(key, _)| is_argument(key));
    let fields: Vec<_> = stated.map(|(key, value)| (key.as_str(), value.clone())).chain(added).collect();
    command::arguments(&fields)
}

/// Returns the fields of a record that make it differ from others, as a text.
fn compared(record: &Map<String, Value>) -> String {
    let fields =
        record.iter().filter(|(key, _)| ![&NO_ARGUMENTS[..], &NOT_COMPARED].concat().contains(&key.as_str()));
    let fields: BTreeMap<_, _> = collect_sorted(fields);
    serde_json::to_string(&fields).expect("the keys of a record are strings")
}

/// Returns the depth that a record has by its own account, or `None` if it has none.
fn stated_depth(record: &Map<String, Value>) -> Option<f64> {
    match record.get("depth")? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// Returns the text of a field, or `None` if it has none.
fn text<'r>(record: &'r Map<String, Value>, key: &str) -> Option<&'r str> {
    record.get(key)?.as_str().map(str::trim).filter(|text| !text.is_empty())
}

/// Whether an id is harmless as the name of a folder.
fn is_folder_name(id: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    id.len() <= MAX_ID && id.bytes().all(is_plain) && !id.starts_with(['.', '-'])
}

/// Returns `CrawlItem` as `crawl_item`.
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for (index, letter) in name.char_indices() {
        if letter.is_ascii_uppercase() && index > 0 {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn follow(max_depth: u32) -> Follow {
        Follow { types: vec!["Page".to_owned(), "CrawlItem".to_owned()], max_depth, jobs: None }
    }

    /// Adds records of the type Page, printed at this depth, and returns the events that they start.
    fn added(queue: &mut FollowQueue<'_>, depth: u32, records: &[Value]) -> Vec<FollowedEvent> {
        for record in records {
            queue.add("Page", record.as_object().unwrap(), depth, ProcessId::generate());
        }
        std::iter::from_fn(|| queue.next()).collect()
    }

    #[test]
    fn the_fields_of_a_record_become_the_arguments_of_its_event() {
        let follow = follow(1);
        let mut queue = FollowQueue::new(&follow, &[], &[]);
        let record = json!({
            "type": "Page", "id": "p1", "url": " https://a ", "is_new": true, "old": false, "tags": ["x"],
            "plugin": "crawler", "a b": 1, "--x": 2, "hook_name": "on_Crawl__1.sh",
        });
        let events = added(&mut queue, 0, &[record]);
        let expected =
            ["--id=p1", "--url=https://a", "--is-new", "--tags=[\"x\"]", "--depth=1", "--page-id=p1"];
        let mut arguments = events[0].arguments.clone();
        arguments.sort();
        let mut expected = expected.map(OsString::from);
        expected.sort();
        assert_eq!(arguments, expected);
        assert_eq!((&*events[0].id, &*events[0].value, events[0].depth), ("p1", "https://a", 1));
    }

    #[test]
    fn a_value_starts_one_event_whatever_its_id_and_depth_are() {
        let follow = follow(1);
        let root = ["--url=https://root".into()];
        let mut queue = FollowQueue::new(&follow, &["Page"], &root);
        let urls = |event: &FollowedEvent| event.value.clone();
        let records = [
            json!({"url": "https://a", "id": "1"}),
            json!({"url": "https://a", "id": "2", "title": "again"}),
            json!({"url": "https://root"}),
            json!({"id": "n", "number": 1}),
            json!({"id": "m", "number": 1, "depth": 0}),
            json!({"id": "n", "number": 2}),
        ];
        let events = added(&mut queue, 0, &records);
        assert_eq!(events.iter().map(urls).take(2).collect::<Vec<_>>(), ["https://a", "n"]);
        assert_eq!(events.len(), 3, "{events:?}");
        assert_ne!(events[2].id, "n", "two events never share an output dir");
        assert!(added(&mut queue, 0, &records).is_empty());
    }

    #[test]
    fn records_that_are_too_deep_start_no_event() {
        let follow = follow(2);
        let mut queue = FollowQueue::new(&follow, &[], &[]);
        let too_deep = [json!(3), json!(2.5), json!(1e300), json!(u64::MAX), json!("9"), json!(" 3 ")];
        let shallow = [json!(2), json!(0), json!("1"), json!(null), json!([9]), json!(-1)];
        let record = |(number, depth)| json!({"n": number, "depth": depth});
        let records: Vec<Value> = too_deep.into_iter().chain(shallow).enumerate().map(record).collect();
        let depths: Vec<u32> = added(&mut queue, 0, &records).iter().map(|event| event.depth).collect();
        assert_eq!(depths, [1; 6]);
        assert!(added(&mut queue, 2, &[json!({"n": 4})]).is_empty());
        assert_eq!(queue.too_deep(), 7);
    }

    #[test]
    fn an_id_that_is_no_plain_name_of_a_folder_is_replaced() {
        let follow = follow(1);
        let mut queue = FollowQueue::new(&follow, &[], &[]);
        for id in ["../up", "a/b", "", ".", "-x", &"x".repeat(65), "a\0b"] {
            let events = added(&mut queue, 0, &[json!({"id": id, "value": id})]);
            assert_eq!(events[0].id.len(), 36, "{id:?} -> {}", events[0].id);
        }
    }

    #[test]
    fn types_are_event_names_in_any_spelling() {
        let follow = Follow { types: vec!["CrawlItemEvent".to_owned()], ..Follow::default() };
        let mut queue = FollowQueue::new(&follow, &[], &[]);
        let record = json!({"x": 1});
        queue.add("CrawlItem", record.as_object().unwrap(), 0, ProcessId::generate());
        queue.add("Page", record.as_object().unwrap(), 0, ProcessId::generate());
        let event = queue.next().unwrap();
        assert_eq!(event.name, "CrawlItem");
        assert!(
            event.arguments.iter().any(|argument| argument.to_str().unwrap().starts_with("--crawl-item-id="))
        );
        assert!(queue.next().is_none());
    }
}

//! Any `rigup.lock` is either rejected with the number of one of its lines, or has exactly the values of its lines and
//! parses to the same pins after it is written out.

use std::path::{Component, Path};

use rigup::internal::{Lockfile, MAX_CHARS, PinError, link_name};
use serde_json::{Map, Value};

pub(crate) fn check(input: &[u8]) {
    let lines: Vec<&[u8]> = input.split(|&byte| byte == b'\n').collect();
    match Lockfile::parse(input) {
        Err(error) => {
            assert!(error.line().is_some_and(|number| (1..=lines.len()).contains(&number)), "{error}");
        }
        Ok(lockfile) => check_parsed(&lockfile, &lines),
    }
}

fn check_parsed(lockfile: &Lockfile, lines: &[&[u8]]) {
    let written = lockfile.to_string();
    assert_eq!(Lockfile::parse(written.as_bytes()).as_ref(), Ok(lockfile));

    // Neither the order of the lines nor blank lines matter.
    let (header, mut reversed) = (lines[0], lines[1..].to_vec());
    reversed.push(header);
    reversed.reverse();
    assert_eq!(Lockfile::parse(&reversed.join(&b"\n\n"[..])).as_ref(), Ok(lockfile));

    let pin_lines: Vec<&&[u8]> = lines[1..].iter().filter(|line| !line.is_empty()).collect();
    assert_eq!(written.lines().count(), 1 + pin_lines.len());
    for line in pin_lines {
        let fields: Map<String, Value> = serde_json::from_slice(line).expect("each line is an object");
        let text = |key: &str| fields[key].as_str().expect("each field is a string");
        let pin = lockfile.get(text("platform"), text("name")).expect("each line has a pin");
        assert_eq!(pin.to_record(), Value::Object(fields.clone()));
        check_name(&pin.name);
        let inserted: Result<_, PinError> = lockfile.clone().insert(pin.clone());
        assert_eq!(inserted, Ok(Some(pin.clone())), "a parsed pin can be inserted again");
    }
    // A duplicate line is rejected.
    if let Some(line) = lines[1..].iter().find(|line| !line.is_empty()) {
        let duplicated = [lines, &[*line]].concat().join(&b"\n"[..]);
        assert!(
            Lockfile::parse(&duplicated).is_err_and(|error| error.to_string().contains("already has a line"))
        );
    }
}

fn check_name(name: &str) {
    let link = link_name(name);
    let parts: Vec<_> = Path::new(link).components().collect();
    assert!(matches!(parts[..], [Component::Normal(only)] if only == link), "{name:?}");
    assert!(link.chars().count() <= MAX_CHARS && !link.starts_with('-') && !name.contains(char::is_control));
}

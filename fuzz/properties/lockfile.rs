//! Any `rigup.lock`: it is rejected with the number of one of its lines, or what is written of it reads the same and has the
//! values of its lines and no others.

use std::path::{Component, Path};

use rigup::internal::{Lockfile, MAX_CHARS, PinError, link_name};
use serde_json::{Map, Value};

pub(crate) fn check(input: &[u8]) {
    let lines: Vec<&[u8]> = input.split(|&byte| byte == b'\n').collect();
    match Lockfile::parse(input) {
        Err(error) => {
            let said = error.to_string();
            let number =
                said.strip_prefix("line ").and_then(|rest| rest.split(':').next()?.parse::<usize>().ok());
            assert!(number.is_some_and(|number| (1..=lines.len()).contains(&number)), "{said}");
        }
        Ok(lockfile) => check_read(&lockfile, &lines),
    }
}

fn check_read(lockfile: &Lockfile, lines: &[&[u8]]) {
    let written = lockfile.to_string();
    assert_eq!(Lockfile::parse(written.as_bytes()).as_ref(), Ok(lockfile));

    // Neither the order of the lines nor blank lines matter.
    let (header, mut reversed) = (lines[0], lines[1..].to_vec());
    reversed.push(header);
    reversed.reverse();
    assert_eq!(Lockfile::parse(&reversed.join(&b"\n\n"[..])).as_ref(), Ok(lockfile));

    let locks: Vec<&&[u8]> = lines[1..].iter().filter(|line| !line.is_empty()).collect();
    assert_eq!(written.lines().count(), 1 + locks.len());
    for line in locks {
        let fields: Map<String, Value> = serde_json::from_slice(line).expect("a line is an object");
        let text = |key: &str| fields[key].as_str().expect("a field is a text");
        let locked = lockfile.get(text("platform"), text("name")).expect("a line that was read is there");
        assert_eq!(locked.to_record(), Value::Object(fields.clone()));
        check_name(&locked.name);
        let put: Result<_, PinError> = lockfile.clone().insert(locked.clone());
        assert_eq!(put, Ok(Some(locked.clone())), "what was read may be written");
    }
    // A duplicate line is rejected.
    if let Some(line) = lines[1..].iter().find(|line| !line.is_empty()) {
        let twice = [lines, &[*line]].concat().join(&b"\n"[..]);
        assert!(Lockfile::parse(&twice).is_err_and(|error| error.to_string().contains("already has a line")));
    }
}

fn check_name(name: &str) {
    let link = link_name(name);
    let parts: Vec<_> = Path::new(link).components().collect();
    assert!(matches!(parts[..], [Component::Normal(only)] if only == link), "{name:?}");
    assert!(link.chars().count() <= MAX_CHARS && !link.starts_with('-') && !name.contains(char::is_control));
}

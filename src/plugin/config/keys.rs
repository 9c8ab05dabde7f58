//! The keys of a `config.json`.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

/// Keys for readers of the file, which can be long.
const PROSE: [&str; 2] = ["description", "documentation"];

/// The keys of an object, without those that only describe it. Objects have few keys, so that comparing them is faster than
/// hashing them, and each start of rigup reads the files of all providers.
#[derive(Debug, Default)]
pub(super) struct Keys(Vec<(String, Value)>);

impl Keys {
    /// Returns the value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Removes a key and returns its value.
    pub(super) fn remove(&mut self, key: &str) -> Option<Value> {
        let index = self.0.iter().position(|(name, _)| name == key)?;
        Some(self.0.swap_remove(index).1)
    }

    /// Returns all keys.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// If the object has the key already, the last value applies.
    fn set(&mut self, key: String, value: Value) {
        match self.0.iter_mut().find(|(name, _)| *name == key) {
            Some((_, earlier)) => *earlier = value,
            None => self.0.push((key, value)),
        }
    }
}

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeysVisitor;

        impl<'de> Visitor<'de> for KeysVisitor {
            type Value = Keys;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                let mut keys = Keys::default();
                while let Some(key) = map.next_key::<String>()? {
                    if PROSE.contains(&key.as_str()) {
                        map.next_value::<IgnoredAny>()?;
                    } else {
                        keys.set(key, map.next_value()?);
                    }
                }
                Ok(keys)
            }
        }

        deserializer.deserialize_map(KeysVisitor)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_last_value_of_a_key_applies_and_prose_is_left_out() {
        let text = r#"{"a": 1, "description": {"a": [2]}, "b": {"c": 3}, "a": 4}"#;
        let mut keys: Keys = serde_json::from_str(text).unwrap();
        assert_eq!(keys.names().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((keys.get("a"), keys.get("c")), (Some(&json!(4)), None));
        assert_eq!((keys.remove("b"), keys.remove("b")), (Some(json!({"c": 3})), None));
    }
}

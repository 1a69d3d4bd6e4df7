//! JSON objects, read and written member by member.
//!
//! `json!` and derived code do the same in more words of machine code, and the page pays for each.

use serde_json::{Map, Value};
use zeroize::Zeroize;

/// An object in the making.
#[derive(Default)]
pub(crate) struct Object(Map<String, Value>);

impl Object {
    pub(crate) fn value(mut self, name: &str, value: Value) -> Self {
        self.0.insert(name.to_owned(), value);
        self
    }

    pub(crate) fn text(self, name: &str, value: &str) -> Self {
        self.value(name, Value::String(value.to_owned()))
    }

    pub(crate) fn number(self, name: &str, value: u64) -> Self {
        self.value(name, Value::Number(value.into()))
    }

    pub(crate) fn flag(self, name: &str, value: bool) -> Self {
        self.value(name, Value::Bool(value))
    }

    pub(crate) fn object(self, name: &str, value: Object) -> Self {
        self.value(name, Value::Object(value.0))
    }

    /// A list of objects.
    pub(crate) fn list<T>(self, name: &str, items: &[T], write: impl Fn(&T) -> Object) -> Self {
        let mut all = Vec::new();
        for item in items {
            all.push(Value::Object(write(item).0));
        }
        self.value(name, Value::Array(all))
    }

    pub(crate) fn members(&self) -> &Map<String, Value> {
        &self.0
    }

    pub(crate) fn into_map(self) -> Map<String, Value> {
        self.0
    }

    pub(crate) fn into_value(self) -> Value {
        Value::Object(self.0)
    }
}

/// A value with secrets among its strings, which are wiped when it is dropped.
pub(crate) struct Secret(pub(crate) Value);

impl Drop for Secret {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(values) => values.iter_mut().for_each(wipe),
        Value::Object(members) => members.iter_mut().for_each(|(_, value)| wipe(value)),
        _ => {}
    }
}

/// A member that must be a string.
pub(crate) fn text<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    object.get(name)?.as_str()
}

/// The same, owned.
pub(crate) fn owned(object: &Map<String, Value>, name: &str) -> Option<String> {
    text(object, name).map(str::to_owned)
}

/// A member that must be a whole number.
pub(crate) fn number(object: &Map<String, Value>, name: &str) -> Option<u64> {
    object.get(name)?.as_u64()
}

/// A member that must be true or false.
pub(crate) fn flag(object: &Map<String, Value>, name: &str) -> Option<bool> {
    object.get(name)?.as_bool()
}

/// A member that must be a list of objects, each taken apart with `parse`.
pub(crate) fn list<T>(
    object: &Map<String, Value>,
    name: &str,
    parse: impl Fn(&Map<String, Value>) -> Option<T>,
) -> Option<Vec<T>> {
    let mut all = Vec::new();
    for item in object.get(name)?.as_array()? {
        all.push(parse(item.as_object()?)?);
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_text_in_a_secret_is_wiped() {
        let mut secret = Secret(json!({"a": "x", "b": ["y", {"c": "z"}], "d": 1, "e": null}));
        wipe(&mut secret.0);
        assert_eq!(
            secret.0,
            json!({"a": "", "b": ["", {"c": ""}], "d": 1, "e": null})
        );
        assert!(std::mem::needs_drop::<Secret>());
    }
}

//! A device of somebody: which user, which device.

use serde_json::{Map, Value};

use crate::object::{Object, owned};

/// Names one device. A device id alone names none: two users may have the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) user_id: String,
    pub(crate) device_id: String,
}

impl Place {
    pub(crate) fn new(user_id: &str, device_id: &str) -> Self {
        Self {
            user_id: user_id.to_owned(),
            device_id: device_id.to_owned(),
        }
    }

    pub(crate) fn to_object(&self) -> Object {
        Object::default()
            .text("user_id", &self.user_id)
            .text("device_id", &self.device_id)
    }

    /// Reads it back. Records of the first format name no user: there it is their one `host`.
    pub(crate) fn from_object(object: &Map<String, Value>, host: Option<&str>) -> Option<Self> {
        let user_id = host.map(str::to_owned);
        let device_id = owned(object, "device_id");
        Some(Self {
            user_id: user_id.or_else(|| owned(object, "user_id"))?,
            device_id: device_id.or_else(|| owned(object, "id"))?,
        })
    }

    /// Puts a message for this device among the `messages` of a `sendToDevice` request.
    pub(crate) fn address(&self, messages: &mut Map<String, Value>, content: Value) {
        let of_user = messages
            .entry(self.user_id.as_str())
            .or_insert_with(|| Value::Object(Map::new()));
        if let Some(of_user) = of_user.as_object_mut() {
            of_user.insert(self.device_id.clone(), content);
        }
    }
}

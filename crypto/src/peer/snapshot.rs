//! What a `/keys/query` answer says of one user, once its signatures are checked.

use serde_json::{Map, Value};

use crate::keys::{CheckedDevice, check_cross_signing_key, check_device, is_signed_by};
use crate::object::{Object, flag, list, owned};

/// Devices of one user beyond this are not looked at; a homeserver could invent any number.
const MAX_DEVICES: usize = 200;

/// A cross-signing identity: its master key, and the self-signing key if there is a valid one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CrossSigned {
    pub(super) master: String,
    pub(super) self_signing: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) id: String,
    pub(crate) ed25519: String,
    pub(crate) curve25519: String,
    pub(super) capable: bool,
    pub(super) cross_signed: bool,
}

/// What one `/keys/query` answer says, once its signatures are checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Snapshot {
    pub(super) identity: Option<CrossSigned>,
    pub(super) devices: Vec<Device>,
}

impl Snapshot {
    /// `None` if the answer has no keys of the user, or an identity that can't be valid.
    pub(super) fn read(response: &Value, user_id: &str) -> Option<Self> {
        let of_user = |name: &str| response.get(name)?.get(user_id)?.as_object();
        let identity = of_user("master_keys").and_then(|object| {
            Some(CrossSigned {
                master: check_cross_signing_key(object, user_id, "master")?.to_owned(),
                self_signing: None,
            })
        });
        // A master key that is there but not valid must not read like none at all.
        if identity.is_none() && of_user("master_keys").is_some() {
            return None;
        }
        let identity = identity.map(|identity| CrossSigned {
            self_signing: of_user("self_signing_keys").and_then(|object| {
                let key = check_cross_signing_key(object, user_id, "self_signing")?;
                is_signed_by(object, user_id, &identity.master).then(|| key.to_owned())
            }),
            ..identity
        });
        let signer = identity.as_ref().and_then(|i| i.self_signing.as_deref());
        // Without an entry for the user the homeserver didn't know, or didn't reach the user's own.
        let listed = of_user("device_keys")?;
        let mut devices = Vec::new();
        for (device_id, object) in listed.iter().take(MAX_DEVICES) {
            let Some(object) = object.as_object() else {
                continue;
            };
            let Some(checked) = check_device(object, user_id) else {
                continue;
            };
            if checked.device_id != *device_id {
                continue;
            }
            let cross_signed = signer.is_some_and(|key| is_signed_by(object, user_id, key));
            devices.push(Device::new(checked, cross_signed));
        }
        Some(Self { identity, devices })
    }

    /// A device never changes its keys; one that seems to is another device under a known name, and
    /// counts only if its owner has signed it.
    pub(super) fn keep_known_keys(&mut self, known: &Snapshot) {
        for device in &mut self.devices {
            if let Some(old) = known.device(&device.id)
                && !device.cross_signed
                && (old.ed25519 != device.ed25519 || old.curve25519 != device.curve25519)
            {
                *device = Device {
                    cross_signed: false,
                    ..old.clone()
                };
            }
        }
    }

    pub(super) fn device(&self, id: &str) -> Option<&Device> {
        self.devices.iter().find(|device| device.id == id)
    }

    pub(super) fn to_object(&self) -> Object {
        let devices = Object::default().list("devices", &self.devices, Device::to_object);
        let Some(identity) = &self.identity else {
            return devices;
        };
        let with_master = devices.text("master", &identity.master);
        match &identity.self_signing {
            Some(key) => with_master.text("self_signing", key),
            None => with_master,
        }
    }

    pub(super) fn from_object(object: &Map<String, Value>) -> Option<Self> {
        let self_signing = owned(object, "self_signing");
        Some(Self {
            identity: owned(object, "master").map(|master| CrossSigned {
                master,
                self_signing,
            }),
            devices: list(object, "devices", Device::from_object)?,
        })
    }
}

impl Device {
    fn new(checked: CheckedDevice, cross_signed: bool) -> Self {
        Self {
            id: checked.device_id,
            ed25519: checked.ed25519,
            curve25519: checked.curve25519,
            capable: checked.capable,
            cross_signed,
        }
    }

    fn to_object(&self) -> Object {
        Object::default()
            .text("id", &self.id)
            .text("ed25519", &self.ed25519)
            .text("curve25519", &self.curve25519)
            .flag("capable", self.capable)
            .flag("cross_signed", self.cross_signed)
    }

    fn from_object(object: &Map<String, Value>) -> Option<Self> {
        Some(Self {
            id: owned(object, "id")?,
            ed25519: owned(object, "ed25519")?,
            curve25519: owned(object, "curve25519")?,
            capable: flag(object, "capable")?,
            cross_signed: flag(object, "cross_signed")?,
        })
    }
}

//! The host and their devices.

use matrix_sdk_crypto::{CollectStrategy, TrustRequirement};

use crate::plan::Plan;
use crate::sdk::Sdk;
use crate::server::Server;
use crate::{GUEST, HOST, TWIN};

/// A device of the host.
pub(crate) struct Device {
    pub(crate) sdk: Sdk,
    /// Signed by the identity that the host has now.
    pub(crate) signed: bool,
}

/// All devices of the host that are there.
pub(crate) struct Host {
    /// The first one holds the cross-signing keys, and is never removed.
    pub(crate) devices: Vec<Device>,
    pub(crate) has_identity: bool,
    strict: bool,
    rotation: u64,
    made: usize,
}

impl Host {
    pub(crate) async fn new(plan: &Plan, server: &mut Server) -> Self {
        let mut host = Self {
            devices: Vec::new(),
            has_identity: false,
            strict: plan.strict,
            rotation: plan.rotation,
            made: 0,
        };
        host.add(server, false).await;
        if plan.cross_signed {
            host.reset(server).await;
        }
        host
    }

    /// The devices whose keys a guest may trust: those that the host signed, or all of a host
    /// without an identity.
    pub(crate) fn is_trusted(&self, device: usize) -> bool {
        !self.has_identity || self.devices[device].signed
    }

    pub(crate) fn index(&self, device: usize) -> usize {
        device % self.devices.len()
    }

    pub(crate) async fn add(&mut self, server: &mut Server, signed: bool) {
        self.made += 1;
        let mut sdk = Sdk::new(HOST, &format!("HOST{}", self.made)).await;
        sdk.rotation = self.rotation;
        sdk.publish(server).await;
        self.devices.push(Device { sdk, signed: false });
        if signed && self.has_identity {
            self.sign(server, self.devices.len() - 1).await;
        } else {
            self.know(server).await;
        }
    }

    pub(crate) async fn sign(&mut self, server: &mut Server, device: usize) {
        let [first, ..] = &self.devices[..] else {
            return;
        };
        first.sdk.track(server, &[HOST]).await;
        let id = self.devices[device].sdk.device_id().to_owned();
        self.devices[0].sdk.sign(server, &id).await;
        // As after a verification: the new device has the cross-signing keys as well.
        let keys = self.devices[0]
            .sdk
            .machine
            .export_cross_signing_keys()
            .await;
        let keys = keys.unwrap().unwrap();
        self.know(server).await;
        let sdk = &self.devices[device].sdk;
        sdk.machine.import_cross_signing_keys(keys).await.unwrap();
        self.devices[device].signed = true;
        self.know(server).await;
    }

    pub(crate) fn remove(&mut self, server: &mut Server, device: usize) -> Device {
        let removed = self.devices.remove(device);
        server.remove_device(HOST, removed.sdk.device_id());
        removed
    }

    /// A new identity, which has signed the first device and no other.
    pub(crate) async fn reset(&mut self, server: &mut Server) {
        self.devices[0].sdk.cross_sign(server).await;
        for device in &mut self.devices {
            device.signed = false;
        }
        self.devices[0].signed = true;
        self.has_identity = true;
        self.know(server).await;
    }

    /// Every device learns what all the others are, and does as its settings are.
    async fn know(&mut self, server: &mut Server) {
        for device in &mut self.devices {
            device.sdk.track(server, &[HOST, GUEST, TWIN]).await;
            if self.strict {
                device.sdk.trust = TrustRequirement::CrossSigned;
                // matrix-sdk-crypto refuses it to a device that its owner has not signed.
                device.sdk.strategy = if device.signed {
                    CollectStrategy::IdentityBasedStrategy
                } else {
                    CollectStrategy::AllDevices
                };
            }
        }
    }
}

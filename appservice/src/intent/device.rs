//! Devices of ghosts, made and deleted without logging in. Source: MSC4190, in the specification
//! since v1.17.

use ruma::api::client::device::{delete_device, update_device};

use super::{Done, Intent, in_path};
use crate::error::CallError;

impl Intent<'_> {
    /// Makes a device of the user, or names one that is there. The name is shown to others.
    pub async fn put_device(&self, device: &str, name: &str) -> Result<(), CallError> {
        let mut request = update_device::v3::Request::new(in_path("device id", device)?.into());
        request.display_name = Some(name.to_owned());
        let _put: Done = self.ask(request).await?;
        Ok(())
    }

    /// Deletes a device of the user, with its keys and all that waits for it. One that isn't there
    /// is deleted already.
    pub async fn delete_device(&self, device: &str) -> Result<(), CallError> {
        let request = delete_device::v3::Request::new(in_path("device id", device)?.into());
        let _deleted: Done = self.ask(request).await?;
        Ok(())
    }
}

//! The media store. Source: client-server API, "Content repository".

use ruma::api::client::media::create_content;
use serde::Deserialize;

use super::Intent;
use crate::error::CallError;

/// The homeserver took a file.
#[derive(Deserialize)]
struct Stored {
    content_uri: String,
}

impl Intent<'_> {
    /// Uploads a file and gives its `mxc://` URI. `content_type` is its media type.
    pub async fn upload_media(
        &self,
        content_type: &str,
        filename: &str,
        file: Vec<u8>,
    ) -> Result<String, CallError> {
        let mut request = create_content::v3::Request::new(file);
        request.content_type = Some(content_type.to_owned());
        request.filename = Some(filename.to_owned());
        let stored: Stored = self.ask(request).await?;
        Ok(stored.content_uri)
    }
}

//! The homeserver itself, accounts and names.

use ruma::api::AppserviceUserIdentity;
use ruma::api::client::account::{deactivate, register, whoami};
use ruma::api::client::appservice::request_ping;
use ruma::api::client::config::{get_global_account_data, set_global_account_data};
use ruma::api::client::discovery::get_supported_versions;
use ruma::api::client::profile::{get_profile_field, set_profile_field};
use ruma::profile::{ProfileFieldName, ProfileFieldValue};
use ruma::serde::Raw;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Done, Homeserver, Intent, id_in_path, in_path, read};
use crate::error::CallError;

#[derive(Deserialize)]
struct Versions {
    versions: Vec<String>,
}

#[derive(Deserialize)]
struct WhoAmI {
    user_id: String,
}

#[derive(Deserialize)]
struct DisplayName {
    displayname: Option<String>,
}

impl Homeserver {
    /// The versions of the specification that the homeserver speaks.
    pub async fn versions(&self) -> Result<Vec<String>, CallError> {
        let request = get_supported_versions::Request::new();
        let request = self.request_at(AppserviceUserIdentity::default(), request, ())?;
        let answer: Versions = read(&self.exchange(request).await?)?;
        Ok(answer.versions)
    }

    /// Registers a user in the bridge's namespace, without a device and without logging in. A name
    /// that is taken is refused with `M_USER_IN_USE`; so is one that an earlier try registered.
    pub async fn register(&self, localpart: &str) -> Result<(), CallError> {
        let mut request = register::v3::Request::new();
        request.username = Some(localpart.to_owned());
        request.login_type = Some(register::LoginType::ApplicationService);
        request.inhibit_login = true;
        let request = self.request(AppserviceUserIdentity::default(), request)?;
        let _registered: Done = read(&self.exchange(request).await?)?;
        Ok(())
    }
}

impl Intent<'_> {
    /// Who the homeserver takes us for.
    pub async fn whoami(&self) -> Result<String, CallError> {
        let answer: WhoAmI = self.ask(whoami::v3::Request::new()).await?;
        Ok(answer.user_id)
    }

    /// Sets the user's own display name.
    pub async fn set_display_name(&self, name: &str) -> Result<(), CallError> {
        let value = ProfileFieldValue::DisplayName(name.to_owned());
        let request = set_profile_field::v3::Request::new(id_in_path("user id", self.user)?, value);
        let _set: Done = self.ask(request).await?;
        Ok(())
    }

    /// Takes the user's own picture away.
    pub async fn clear_avatar(&self) -> Result<(), CallError> {
        let value = ProfileFieldValue::AvatarUrl("".into());
        let request = set_profile_field::v3::Request::new(id_in_path("user id", self.user)?, value);
        let _cleared: Done = self.ask(request).await?;
        Ok(())
    }

    /// Anybody's display name, if they have one.
    pub async fn display_name(&self, user: &str) -> Result<Option<String>, CallError> {
        let request = get_profile_field::v3::Request::new(
            id_in_path("user id", user)?,
            ProfileFieldName::DisplayName,
        );
        match self.ask::<DisplayName, _>(request).await {
            Ok(answer) => Ok(answer.displayname.filter(|name| !name.is_empty())),
            // Nobody there, or nobody with a name.
            Err(CallError::Status {
                status: 404,
                errcode,
                ..
            }) if errcode == "M_NOT_FOUND" => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The user's own account data of this type; none when there is none.
    pub async fn account_data(&self, data_type: &str) -> Result<Option<Value>, CallError> {
        let request = get_global_account_data::v3::Request::new(
            id_in_path("user id", self.user)?,
            in_path("type", data_type)?.into(),
        );
        match self.ask::<Map<String, Value>, _>(request).await {
            Ok(content) => Ok(Some(Value::Object(content))),
            Err(CallError::Status { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps account data of the user's own under this type.
    pub async fn set_account_data(
        &self,
        data_type: &str,
        content: &Value,
    ) -> Result<(), CallError> {
        let unused = Raw::new(&json!({})).map_err(|_| CallError::Unsendable { what: "content" })?;
        let request = set_global_account_data::v3::Request::new_raw(
            id_in_path("user id", self.user)?,
            in_path("type", data_type)?.into(),
            unused.cast_unchecked(),
        );
        let _kept: Done = self.ask_with(request, content).await?;
        Ok(())
    }

    /// Ends the account for good; its name can't be registered again. With `erase` the homeserver
    /// also forgets what it can. Homeservers with Matrix Authentication Service don't offer this.
    pub async fn deactivate(&self, erase: bool) -> Result<(), CallError> {
        let mut request = deactivate::v3::Request::new();
        request.erase = erase;
        let _deactivated: Done = self.ask(request).await?;
        Ok(())
    }

    /// Has the homeserver call the bridge, and gives back whether it reached it. Synapse then also
    /// delivers at once what it holds back.
    pub async fn ping(&self, appservice: &str, transaction: &str) -> Result<(), CallError> {
        let mut request = request_ping::v1::Request::new(in_path("appservice id", appservice)?);
        request.transaction_id = Some(transaction.into());
        let _reached: Done = self.ask(request).await?;
        Ok(())
    }
}

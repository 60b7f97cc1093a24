//! Sets the secret of a source, which is never read back.

use std::path::Path;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Json;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::task::spawn_blocking;
use utoipa::ToSchema;

use super::source::{SourceDetail, detail};
use crate::admin::access::ApiCaller;
use crate::admin::error::ApiError;
use crate::admin::mapping_changes::{ExpectedFile, FileChange, NewFiles};
use crate::admin::mapping_text::{CurrentText, digest_of};
use crate::admin::params::{JsonBody, PathSegment};
use crate::admin::state::AdminState;
use crate::admin::time_bound::Day;
use crate::event::SourceName;
use crate::mapping_file::file::MappingFile;
use crate::mapping_file::new_text::with_secrets;
use crate::mapping_file::proof::NamedSecret;
use crate::mapping_file::secrets_folder::SecretsFolder;
use crate::mapping_file::served::ServedFiles;
use crate::store::AuditAction;
use crate::{clock, file, secret};

/// Largest secret, as for all files of secrets.
const SECRET_BYTES_MAX: usize = 64 * 1024;

/// A secret to set.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecretBody {
    /// The secret, or the public key, as the tool shows it.
    // Any JSON, since an error about another type would repeat the value.
    #[schema(value_type = String)]
    secret: Value,
    /// Last day (UTC) on which the secret before it is accepted too; by default it no longer is.
    #[schema(inline)]
    keep_old_until: Option<Day>,
}

/// A source whose secret was set.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SecretSaved {
    #[serde(flatten)]
    source: SourceDetail,
    /// What makes the secret doubtful, although it is used.
    warnings: Vec<String>,
}

/// Length below which a secret can be guessed by whoever has one signed webhook.
const SECRET_CHARS_MIN: usize = 16;

/// Set the secret of a source: it is kept in a file that only the relay can read, and used at once
#[utoipa::path(put, path = "/api/v1/sources/{name}/secret", request_body = SecretBody,
    params(("name" = SourceName, Path, description = "Name of the source")),
    responses((status = 200, description = "The source as it is now", body = SecretSaved),
        (status = 404, description = "There is no such source, or it has no mapping"),
        (status = 409, description = "Its mapping does not name the file of this secret, there is no old \
            secret to keep, or the file cannot be written")))]
pub(crate) async fn set(
    State(admin): State<Arc<AdminState>>,
    caller: ApiCaller,
    PathSegment(name): PathSegment,
    JsonBody(SecretBody { secret, keep_old_until }): JsonBody<SecretBody>,
) -> Result<Json<SecretSaved>, ApiError> {
    let name = admin.source(&name)?;
    let secret = text(secret)?;
    let warnings = warnings(&secret);
    let keep_old_until = keep_old_until.map(|Day(day)| future(day)).transpose()?;
    let rotation = Rotation {
        source: name.clone(),
        served: admin.files.current(),
        folder: admin.secrets_folder.clone(),
        keep_old_until,
    };
    let work = move || rotation.begin(&secret).map(|change| (secret, change));
    let (secret, change) = spawn_blocking(work).await.map_err(|_| ApiError::Internal)??;
    if let Some(change) = change {
        let entry = caller.did(AuditAction::SaveMapping).on(&format!("source {name}"));
        let before = admin.files.current().of(&name).map(|file| digest_of(&file.document.text));
        let entry = entry.digests(before, None);
        admin.change_files(change, entry).await.map_err(|refusal| match refusal {
            ApiError::Changed(_) => ApiError::Conflict(
                "the mapping was changed at the same moment: try again".to_owned(),
            ),
            other => other,
        })?;
    }
    let entry = caller.did(AuditAction::SetSecret).on(&format!("source {name}"));
    let entry = match keep_old_until {
        Some(day) => entry.detail(&format!("the old one is accepted until {day}")),
        None => entry,
    };
    let folder = &admin.secrets_folder;
    let (path, former) = (folder.current_path(&name), folder.former_path(&name));
    let former = keep_old_until.is_none().then_some(former);
    admin.change_files(FileChange::Secret { path, secret, former }, entry).await?;
    let served = admin.files.current();
    let secrets = served.of(&name).map_or(0, |file| file.proof.secrets.len());
    admin.counters.webhooks.secrets_replaced(name.as_str(), secrets);
    let Json(source) = detail(&admin, &caller, &name).await?;
    Ok(Json(SecretSaved { source, warnings }))
}

/// Fails for a day that is over, on which the old secret would not count any more.
fn future(day: Date) -> Result<Date, ApiError> {
    if day < clock::now().to_zoned(TimeZone::UTC).date() {
        let reason = format!("{day} is over: leave keep_old_until out to end the old secret now");
        return Err(ApiError::BadRequest(reason));
    }
    Ok(day)
}

fn warnings(secret: &SecretString) -> Vec<String> {
    let doubt = secret::doubt_of(secret).map(|doubt| format!("the secret {doubt}"));
    let length = secret.expose_secret().chars().count();
    let short = (length < SECRET_CHARS_MIN).then(|| {
        format!(
            "the secret has {length} characters, and whoever sees a signed webhook can guess it: set \
             a longer one, if the tool allows that"
        )
    });
    doubt.or(short).into_iter().collect()
}

fn text(secret: Value) -> Result<SecretString, ApiError> {
    let Value::String(text) = secret else {
        return Err(ApiError::BadRequest("`secret` is a text".to_owned()));
    };
    if text.len() > SECRET_BYTES_MAX {
        return Err(ApiError::BadRequest(format!("`secret` has at most {SECRET_BYTES_MAX} bytes")));
    }
    // Copied with the end of its line. A file of a secret is read without it too.
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(SecretString::from(line.strip_suffix('\r').unwrap_or(line)))
}

/// A new secret for a source, and the old one, which may stay valid for a while.
struct Rotation {
    source: SourceName,
    served: Arc<ServedFiles>,
    folder: SecretsFolder,
    keep_old_until: Option<Date>,
}

impl Rotation {
    /// Checks the secret, and writes the old one to a file of its own if it is kept. Returns the change
    /// of the mapping that is needed for that.
    fn begin(&self, secret: &SecretString) -> Result<Option<FileChange>, ApiError> {
        let own = self.own()?;
        let current = self.folder.current(&self.source);
        let Some(source) = &own.source else {
            let reason = format!("the mapping of {} has mistakes: correct them first", self.source);
            return Err(ApiError::Conflict(reason));
        };
        if !own.proof.secrets.iter().any(|it| it.location == current) {
            let reason = format!(
                "the mapping of {} takes its secret from another place: write secrets = [\"{}\"] in it \
                 first",
                self.source,
                current.reference()
            );
            return Err(ApiError::Conflict(reason));
        }
        let invalid = |error| ApiError::BadRequest(format!("the secret {error}"));
        source.signature.secret.check(secret).map_err(invalid)?;
        self.keep_old()?;
        let wanted = self.wanted(own);
        if wanted == own.proof.secrets {
            return Ok(None);
        }
        let CurrentText { text, digest, .. } = CurrentText::read(&self.served, &self.source)?;
        let text = with_secrets(&text, &wanted).ok_or(ApiError::Internal)?;
        let expected = ExpectedFile::OneOf(vec![digest]);
        let (source, beside) = (self.source.clone(), NewFiles::default());
        Ok(Some(FileChange::Write { source, text, expected, beside }))
    }

    fn own(&self) -> Result<&MappingFile, ApiError> {
        let none = || ApiError::NotFound(format!("the source {} has no mapping", self.source));
        self.served.of(&self.source).ok_or_else(none)
    }

    fn keep_old(&self) -> Result<(), ApiError> {
        if self.keep_old_until.is_none() {
            return Ok(());
        }
        let old = file::read(&self.folder.current_path(&self.source), SECRET_BYTES_MAX);
        let none = |error| ApiError::Conflict(format!("there is no old secret to keep: {error}"));
        let old = SecretString::from(String::from_utf8_lossy(&old.map_err(none)?).into_owned());
        write(&self.folder.former_path(&self.source), old.expose_secret().as_bytes())
    }

    /// Returns the secrets that the mapping is to name: the new one, the old one, and those that are
    /// kept elsewhere.
    fn wanted(&self, own: &MappingFile) -> Vec<NamedSecret> {
        let current = NamedSecret { location: self.folder.current(&self.source), until: None };
        let former = self.keep_old_until.map(|day| NamedSecret {
            location: self.folder.former(&self.source),
            until: Some(day),
        });
        let is_elsewhere = |it: &&NamedSecret| !self.folder.holds(&self.source, &it.location);
        let others = own.proof.secrets.iter().filter(is_elsewhere).cloned();
        [current].into_iter().chain(former).chain(others).collect()
    }
}

fn write(path: &Path, content: &[u8]) -> Result<(), ApiError> {
    let explained = |error| {
        let reason = file::explain(&error, path);
        ApiError::Conflict(format!("{} cannot be written: {reason}", path.display()))
    };
    file::write_private(path, content).map_err(explained)
}

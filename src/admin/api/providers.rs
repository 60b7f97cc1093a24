//! Providers: the tools whose signatures are known, with the steps that set up a source of each.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Json;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::task::spawn_blocking;
use utoipa::ToSchema;

use crate::admin::error::ApiError;
use crate::admin::state::AdminState;
use crate::event::SourceName;
use crate::intake::provider::Provider;
use crate::intake::provider::setup_guide::{FilledSetup, SecretFrom};
use crate::intake::registry::{SourceStatus, Sources};
use crate::mapping_file::{bundle, setup};

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProvidersListed)]
pub(crate) struct ProviderList {
    providers: Vec<ProviderView>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Provider)]
pub(crate) struct ProviderView {
    /// Value of `provider` of a new source. In a mapping file it names the provider, unless its own
    /// bundled mapping describes how it signs.
    name: String,
    /// The tool's name.
    title: String,
    /// Scheme of its signatures.
    scheme: String,
    /// Documentation of the tool.
    docs: String,
    /// Whether a mapping file for it is part of the program.
    has_mapping: bool,
    /// The sources whose bundled mapping files are for it, the usual one first.
    mappings: Vec<BundledMapping>,
    /// Who makes the secret.
    secret_from: Option<SecretFrom>,
    /// The steps that set up a source of it: the first of `mappings`, or one with the name of the
    /// provider.
    setup: FilledSetup,
    /// Sources of it that are live, or wait for the secret that it sends.
    used_by: Vec<SourceName>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BundledMapping {
    name: String,
    /// What becomes of its webhooks.
    summary: String,
}

/// List the providers, with what to do in the tool to set up a source
#[utoipa::path(get, path = "/api/v1/providers",
    responses((status = 200, description = "All providers, by name", body = ProviderList)))]
pub(crate) async fn list(
    State(admin): State<Arc<AdminState>>,
) -> Result<Json<ProviderList>, ApiError> {
    let (sources, url) = (admin.intake.sources.current(), admin.url.clone());
    // All provider files are read, which takes some milliseconds.
    let providers = spawn_blocking(move || providers(&sources, &url)).await;
    providers.map(|providers| Json(ProviderList { providers })).map_err(|_| ApiError::Internal)
}

fn providers(sources: &Sources, url: &str) -> Vec<ProviderView> {
    let mut bundled: BTreeMap<String, Vec<&'static str>> = BTreeMap::new();
    for (name, provider) in bundle::providers() {
        let own = bundled.entry(provider.clone()).or_default();
        // The one with the provider's name is the usual one.
        let position = if name == provider { 0 } else { own.len() };
        own.insert(position, name);
    }
    let described = bundled.keys().filter(|name| Provider::builtin(name).is_none()).cloned();
    let mut names: Vec<String> = Provider::names().map(str::to_owned).chain(described).collect();
    names.sort_unstable();
    let mut used_by = users(sources);
    let mut view = |name: &str| {
        let mappings = bundled.remove(name).unwrap_or_default();
        let entries = Provider::entries(name).or_else(|| bundle::entries(name));
        let entries = entries.unwrap_or_default();
        let setup = match mappings.first() {
            Some(first) => setup::of_bundled(first, url),
            None => setup::of_provider(name, url),
        };
        let mapping = |name: &&str| BundledMapping {
            name: (*name).to_owned(),
            summary: bundle::summary(name).to_owned(),
        };
        ProviderView {
            name: name.to_owned(),
            title: text(&entries, "/title"),
            scheme: text(&entries, "/signature/scheme"),
            docs: text(&entries, "/docs"),
            has_mapping: !mappings.is_empty(),
            mappings: mappings.iter().map(mapping).collect(),
            secret_from: setup.secret_from,
            setup,
            used_by: used_by.remove(name).unwrap_or_default(),
        }
    };
    names.iter().map(|name| view(name)).collect()
}

fn text(entries: &Map<String, Value>, path: &str) -> String {
    let mut keys = path.split('/').skip(1);
    let first = keys.next().and_then(|key| entries.get(key));
    let found = keys.fold(first, |value, key| value?.get(key));
    found.and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Returns the sources of each provider.
fn users(sources: &Sources) -> BTreeMap<String, Vec<SourceName>> {
    let mut users: BTreeMap<String, Vec<SourceName>> = BTreeMap::new();
    for (name, status) in sources {
        let source = match status {
            SourceStatus::Live(source) => source,
            SourceStatus::AwaitingSecret(setup) => &setup.source,
            SourceStatus::Off { .. } => continue,
        };
        // A bundled one that describes its sender itself is its own provider.
        let own = || Some(name.to_string()).filter(|name| Provider::builtin(name).is_none());
        if let Some(provider) = source.provider.clone().or_else(own) {
            users.entry(provider).or_default().push(name.clone());
        }
    }
    users
}

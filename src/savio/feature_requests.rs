//! Feature requests: lists with filters, and single ones by id.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::client::{Client, SMALL_BYTES_MAX};
use super::error::Error;
use super::page::Pages;
use crate::json;

/// A feature request ("Feature Request model" in the reference). Which of the optional fields are
/// present depends on the columns that the account has chosen for its list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeatureRequest {
    pub id: u64,
    pub title: String,
    #[serde(default)]
    pub description: Option<String>,
    #[serde(default, deserialize_with = "json::objects")]
    pub tags: Vec<Tag>,
    /// Its position on roadmaps.
    #[serde(default, deserialize_with = "json::objects")]
    pub roadmaps: Vec<Placement>,
    /// Date on which it was marked as shipped, in Savio's format.
    #[serde(default)]
    pub shipped_at: Option<String>,
    /// Only on accounts with products: the value, and below it the label that is displayed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product_display: Option<String>,
    /// Only on accounts with product areas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product_area: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product_area_display: Option<String>,
    /// The status, such as `PLANNED`. The values may vary by account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_display: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_display: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effort: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effort_display: Option<String>,
    /// True if it is shown on voting boards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_public: Option<bool>,
    /// Times in Savio's format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated: Option<String>,
    /// All other columns, by the account's own names: the counts `Requests`, `Feedback`,
    /// `Companies` and `Votes`, and numeric attributes such as `MRR`.
    #[serde(flatten)]
    pub columns: Map<String, Value>,
}

impl FeatureRequest {
    /// Value of a count: `Requests`, `Feedback`, `Companies` or `Votes`.
    pub fn count(&self, column: &str) -> Option<u64> {
        self.columns.get(column)?.as_u64()
    }

    /// Value of a numeric column, such as `MRR`, in the account's own unit.
    pub fn number(&self, column: &str) -> Option<f64> {
        self.columns.get(column)?.as_f64()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    pub id: u64,
    pub title: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// The roadmap's name.
    pub roadmap: String,
    /// The name of the column in it.
    #[serde(default)]
    pub column: Option<String>,
}

/// Filters and order of a list of feature requests ("List Feature Requests" in the reference).
/// Values are sent as they are, since they may vary by account.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct FeatureRequestQuery {
    /// A part of the title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search: Option<String>,
    /// A status, such as `PLANNED`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Name of a field, with `-` before it for descending order: `-updated`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ordering: Option<String>,
    /// The exact slug of a product. Savio ignores it on accounts without products.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// The exact slug of a product area, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_area: Option<String>,
    /// The exact title of a tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The exact title of a roadmap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roadmap: Option<String>,
}

impl Client {
    /// Lists feature requests, page by page. Sends nothing before `Pages::next`.
    pub fn feature_requests(&self, filter: &FeatureRequestQuery) -> Pages<FeatureRequest> {
        Pages::from(self, self.list("feature-requests/", filter))
    }

    /// Gets a feature request; fails with [`Error::NotFound`] if there is none with this id.
    pub async fn feature_request(&self, id: u64) -> Result<FeatureRequest, Error> {
        let call = self.http.get(self.base_url.join(&format!("feature-requests/{id}/")));
        let raw = self.request(call, SMALL_BYTES_MAX).await?;
        self.parse(&raw)
    }
}

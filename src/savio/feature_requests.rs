//! Feature requests: listed by filters, and got one by one.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::client::{Client, SMALL_BYTES_MAX};
use super::error::Error;
use super::page::Pages;
use crate::json;

/// A feature request ("Feature Request model" in the reference). Which fields there are beside the
/// first ones depends on the columns of the account's own list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeatureRequest {
    pub id: u64,
    pub title: String,
    #[serde(default)]
    pub description: Option<String>,
    #[serde(default, deserialize_with = "json::objects")]
    pub tags: Vec<Tag>,
    /// Where it stands on roadmaps.
    #[serde(default, deserialize_with = "json::objects")]
    pub roadmaps: Vec<Placement>,
    /// The date on which it was marked as shipped, as Savio writes it.
    #[serde(default)]
    pub shipped_at: Option<String>,
    /// Only on accounts with products; the value, and its label for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product_display: Option<String>,
    /// Only on accounts with product areas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product_area: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product_area_display: Option<String>,
    /// The status, such as `PLANNED`; the words may vary by account.
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
    /// Whether it is shown on voting boards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_public: Option<bool>,
    /// Times, as Savio writes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated: Option<String>,
    /// All other columns by the names that the account gives them: the counts `Requests`, `Feedback`,
    /// `Companies` and `Votes`, and numeric attributes such as `MRR`.
    #[serde(flatten)]
    pub columns: Map<String, Value>,
}

impl FeatureRequest {
    /// A column that counts: `Requests`, `Feedback`, `Companies` or `Votes`.
    pub fn count(&self, column: &str) -> Option<u64> {
        self.columns.get(column)?.as_u64()
    }

    /// A numeric column, such as `MRR`, in the unit that the account gives it.
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

/// Which feature requests are listed, and in which order ("List Feature Requests" in the reference).
/// What is left out filters nothing. All values are open: they may vary by account.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct FeatureRequestQuery {
    /// A part of the title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search: Option<String>,
    /// A status, such as `PLANNED`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// A field's name; with `-` before it, the greatest first: `-updated`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ordering: Option<String>,
    /// A product's slug, exactly. Savio ignores it on accounts without products.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// Likewise a product area's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_area: Option<String>,
    /// A tag's title, exactly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// A roadmap's title, exactly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roadmap: Option<String>,
}

impl Client {
    /// The pages of the feature requests. Nothing is asked before the first page is.
    pub fn feature_requests(&self, filter: &FeatureRequestQuery) -> Pages<FeatureRequest> {
        Pages::from(self, self.list("feature-requests/", filter))
    }

    /// One feature request; [`Error::NotFound`] where there is none of this id.
    pub async fn feature_request(&self, id: u64) -> Result<FeatureRequest, Error> {
        let call = self.http.get(self.base_url.join(&format!("feature-requests/{id}/")));
        let raw = self.ask(call, SMALL_BYTES_MAX).await?;
        self.parse(&raw)
    }
}

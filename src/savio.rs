//! Client of the whole Savio API. It reports what happened to each call and never retries. Typed
//! calls fail with [`Error`]; delivery uses [`Client::send`], whose [`SendResult`] keeps the
//! response.

mod answer;
mod client;
mod send_result;
mod transport;
mod server_time;
mod base_url;
mod cleartext;
mod customers;
mod error;
mod feature_requests;
mod feedback;
mod page;

pub use answer::{account_of, answered, unlike_savio};
pub use base_url::{BaseUrl, InvalidBaseUrl};
pub use client::{Client, ClientError, ProbeError, Settings};
pub use customers::{Company, CompanyUpsert, Contact, ContactUpsert, CustomerQuery};
pub use error::{Error, ErrorDetails, NextPageError};
pub use feature_requests::{FeatureRequest, FeatureRequestQuery, Placement, Tag};
pub use feedback::{Created, NewFeedback};
pub use page::{Page, Pages};
pub use send_result::{ApiResponse, BodyKind, SendResult, TEXT_BYTES_MAX};

/// Base URL of Savio's own API.
pub const BASE_URL: &str = "https://www.savio.io/app/api/";

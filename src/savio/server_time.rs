//! Savio's time, to check this machine's clock against.

use http::header::DATE;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

use super::client::Client;
use super::transport::header;

impl Client {
    /// Returns the time in the `Date` header of a response, to the second; none if there is no
    /// response.
    pub async fn date(&self) -> Option<Timestamp> {
        let response = self.http.get(self.base_url.join("users/")).send().await.ok()?;
        DateTimeParser::new().parse_timestamp(header(&response, &DATE)?).ok()
    }
}

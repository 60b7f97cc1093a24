//! What time it is at Savio: for who wonders whether this machine's clock is right.

use http::header::DATE;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

use super::client::Client;
use super::transport::header;

impl Client {
    /// By the `Date` of any answer, to the second; none if it cannot be asked.
    pub async fn date(&self) -> Option<Timestamp> {
        let response = self.http.get(self.base_url.join("users/")).send().await.ok()?;
        DateTimeParser::new().parse_timestamp(header(&response, &DATE)?).ok()
    }
}

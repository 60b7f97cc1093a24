//! A target of alerts: what it gets, and where it is.

use jiff::Timestamp;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::address::Address;
use super::endpoint::AlertAnswer;
use super::message::Message;
use super::settings::{Format, Rules, TargetSettings};

pub(super) struct ConfiguredTarget {
    pub(super) name: String,
    pub(super) format: Format,
    pub(super) rules: Rules,
    /// Where people reach the pages.
    pub(super) public_url: Option<String>,
    pub(super) address: Address,
    /// Held by a test: one at a time.
    test: Mutex<()>,
}

/// Result of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestResult {
    pub name: String,
    /// The error is the reason why there is no answer.
    pub answer: Result<AlertAnswer, String>,
}

impl ConfiguredTarget {
    pub(super) fn new(settings: TargetSettings, public_url: Option<String>) -> ConfiguredTarget {
        let TargetSettings { name, url, format, headers, rules } = settings;
        let address = Address::new(&url, &headers);
        ConfiguredTarget { name, format, rules, public_url, address, test: Mutex::default() }
    }

    /// Sends a message that says it is a test.
    pub(super) async fn test(&self, now: Timestamp) -> TestResult {
        let answer = match self.test.try_lock() {
            Ok(_one_at_a_time) => self.send_test(now).await,
            Err(_) => Err("another test of it is under way".to_owned()),
        };
        TestResult { name: self.name.clone(), answer }
    }

    async fn send_test(&self, now: Timestamp) -> Result<AlertAnswer, String> {
        let endpoint = self.address.current();
        let endpoint = endpoint.as_ref().as_ref().map_err(Clone::clone)?;
        let (id, url) = (format!("test-{}", Uuid::new_v4()), self.public_url.as_deref());
        endpoint.post(Message::test(id, &self.name, url, now).body(self.format)).await
    }
}

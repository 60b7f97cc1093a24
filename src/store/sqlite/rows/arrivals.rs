//! How a webhook arrived, as it is stored.

use std::borrow::Cow;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::store::arrival::{AnswerSent, Arrival, MatchedSecret, Verified};

/// The parts of an arrival by their position: client, scheme, header, position and location of the
/// secret, status, milliseconds.
// An array, since each webhook has one: with the names of its members it would cost intake three
// times as much.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredArrival<'a>(
    Option<IpAddr>,
    Option<Cow<'a, str>>,
    Option<Cow<'a, str>>,
    Option<usize>,
    Option<Cow<'a, str>>,
    Option<u16>,
    u64,
);

impl StoredArrival<'_> {
    /// `ms`: time after which it was written.
    pub(crate) fn of(arrival: &Arrival, ms: u64) -> StoredArrival<'_> {
        let Arrival { client, verified, answered } = arrival;
        let (scheme, header, secret) = match verified {
            Some(Verified { scheme, header, secret }) => {
                (Some(scheme.as_str()), header.as_deref(), secret.as_ref())
            }
            None => (None, None, None),
        };
        StoredArrival(
            *client,
            scheme.map(Cow::Borrowed),
            header.map(Cow::Borrowed),
            secret.map(|secret| secret.position),
            secret.and_then(|secret| secret.location.as_deref()).map(Cow::Borrowed),
            answered.map(|answered| answered.status),
            ms,
        )
    }

    pub(crate) fn into_arrival(self) -> Arrival {
        let StoredArrival(client, scheme, header, position, location, status, ms) = self;
        let location = location.map(Cow::into_owned);
        let secret = position.map(|position| MatchedSecret { position, location });
        let header = header.map(Cow::into_owned);
        Arrival {
            client,
            verified: scheme.map(|it| Verified { scheme: it.into_owned(), header, secret }),
            answered: status.map(|status| AnswerSent { status, ms }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(arrival: &Arrival, json: &str) {
        let stored = StoredArrival::of(arrival, 3);
        assert_eq!(serde_json::to_string(&stored).unwrap(), json);
        let read: StoredArrival<'_> = serde_json::from_str(json).unwrap();
        assert_eq!(read.into_arrival(), *arrival);
    }

    #[test]
    fn arrival_is_stored_in_few_bytes() {
        let secret = MatchedSecret { position: 1, location: Some("env:SECRET".to_owned()) };
        let header = Some("x-signature".to_owned());
        let verified = Verified { scheme: "hmac".to_owned(), header, secret: Some(secret) };
        let mut whole = Arrival::of("192.0.2.7".parse().ok(), verified, 202);
        if let Some(answered) = &mut whole.answered {
            answered.ms = 3;
        }
        check(&whole, r#"["192.0.2.7","hmac","x-signature",1,"env:SECRET",202,3]"#);
        check(&Arrival::default(), "[null,null,null,null,null,null,3]");
    }
}

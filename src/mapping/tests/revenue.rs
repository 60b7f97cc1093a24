//! Amounts in every currency of Stripe's list.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{compile, event};

/// Currencies in which an amount of 1 is 1.
const WHOLE: &str = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF";

/// Currencies in which an amount of 1,000 is 1.
const THOUSANDTHS: &str = "BHD JOD KWD OMR TND";

/// Currencies in which an amount of 100 is 1.
// Also where no smaller coin exists: ISK and UGX for compatibility; HUF and TWD are whole only in
// payouts.
const HUNDREDTHS: &str = "USD AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL \
    BSD BWP BYN BZD CAD CDF CHF CNY COP CRC CVE CZK DKK DOP DZD EGP ETB EUR FJD FKP GBP GEL GIP GMD GTQ GYD \
    HKD HNL HRK HTG HUF IDR ILS INR ISK JMD KES KGS KHR KYD KZT LAK LBP LKR LRD LSL MAD MDL MKD MMK MNT MOP \
    MRO MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR \
    SEK SGD SHP SLE SLL SOS SRD STD SVC SZL THB TJS TOP TRY TTD TWD TZS UAH UGX USDC UYU UZS WST XCD XCG YER \
    ZAR ZMW";

fn invoice(currency: &str, amount: u64) -> Value {
    let period = json!({"start": 1_767_225_600, "end": 1_769_904_000});
    let line =
        json!({"amount": amount, "subscription": "sub_1", "description": "Team", "period": period});
    json!({"type": "invoice.paid", "data": {"object": {"currency": currency, "customer": "cus_1",
        "customer_name": "Acme", "lines": {"data": [line]}}}})
}

fn subscription(currency: &str, amount: u64) -> Value {
    let every = json!({"interval": "month", "interval_count": 1});
    let price = json!({"id": "price_1", "unit_amount": amount, "recurring": every});
    json!({"type": "customer.subscription.updated", "data": {"object": {"currency": currency,
        "customer": "cus_1", "status": "active", "metadata": {"company_name": "Acme"},
        "items": {"data": [{"price": price, "quantity": 1}]}}}})
}

#[test]
fn stripe_revenue_is_in_units_of_every_currency() {
    let (mapping, _) = compile(include_str!("../../../mappings/stripe.toml"));
    let cases = [(WHOLE, 12_345_000.0), (HUNDREDTHS, 123_450.0), (THOUSANDTHS, 12_345.0)];
    for (currencies, expected) in cases {
        for currency in currencies.split_whitespace() {
            for name in [currency.to_lowercase(), currency.to_owned()] {
                for payload in [invoice(&name, 12_345_000), subscription(&name, 12_345_000)] {
                    let kind = payload["type"].as_str().map(str::to_owned);
                    let event = event(kind.as_deref());
                    let mapped = mapping.apply(&event, &Arc::new(payload)).unwrap();
                    let attributes = &mapped.requests[0].body["filterable_attributes"];
                    assert_eq!(attributes["mrr"].as_f64(), Some(expected), "{name} {kind:?}");
                }
            }
        }
    }
}

#[test]
fn thousandths_are_not_rounded() {
    let (mapping, _) = compile(include_str!("../../../mappings/stripe.toml"));
    for payload in [invoice("kwd", 1_234), subscription("kwd", 1_234)] {
        let event = event(payload["type"].as_str());
        let mapped = mapping.apply(&event, &Arc::new(payload)).unwrap();
        assert_eq!(mapped.requests[0].body["filterable_attributes"]["mrr"], json!(1.234));
    }
}

//! Reads values of settings: sizes, times and addresses.

use std::net::SocketAddr;
use std::time::Duration;

use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::table::{Diagnostics, TomlTable};
use crate::intake::client_ip::{InvalidNetwork, Network};

pub(super) fn set_if_some<T>(setting: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *setting = value;
    }
}

/// Reads a number that is 1 or more.
pub(super) fn size(
    section: &mut TomlTable<'_>,
    key: &'static str,
    mistakes: &mut Diagnostics,
) -> Option<usize> {
    let number = section.number(key, mistakes)?;
    let size = usize::try_from(number).ok().filter(|size| *size > 0);
    if size.is_none() {
        mistakes.push(Diagnostic::error(section.key_place(key), format!("`{key}` is 1 or more")));
    }
    size
}

pub(super) fn address(
    section: &mut TomlTable<'_>,
    key: &'static str,
    mistakes: &mut Diagnostics,
) -> Option<SocketAddr> {
    let text = section.text(key, mistakes)?;
    let address = text.text.parse().ok();
    if address.is_none() {
        let message = format!("`{key}` is not an address with a port");
        let help = "write an IP address and a port, such as \"127.0.0.1:8080\"";
        mistakes.push(Diagnostic::error(text.place, message).help(help));
    }
    address
}

pub(super) fn networks(
    section: &mut TomlTable<'_>,
    key: &'static str,
    mistakes: &mut Diagnostics,
) -> Option<Vec<Network>> {
    let mut networks = Vec::new();
    for text in section.texts(key, mistakes)? {
        if let Ok(network) = text.text.parse::<Network>() {
            if network.has_all_addresses() {
                let message = format!("`{}` trusts everyone as a proxy", text.text);
                let help =
                    "then each sender can make up its address: name the addresses of your proxies";
                mistakes.push(Diagnostic::warning(text.place, message).help(help));
            }
            networks.push(network);
        } else {
            let message = format!("`{}` is not a network", text.text);
            mistakes.push(Diagnostic::error(text.place, message).help(InvalidNetwork.to_string()));
        }
    }
    Some(networks)
}

/// Reads `json_depth_max`.
pub(super) fn depth(section: &mut TomlTable<'_>, mistakes: &mut Diagnostics) -> Option<usize> {
    let depth = size(section, "json_depth_max", mistakes)?;
    // serde_json reads at most 127 levels, so a higher limit would not hold.
    if depth > 127 {
        let place = section.key_place("json_depth_max");
        mistakes.push(Diagnostic::error(place, "`json_depth_max` is 127 at most"));
    }
    Some(depth)
}

/// Reads a time span longer than zero.
pub(super) fn duration(
    section: &mut TomlTable<'_>,
    key: &'static str,
    mistakes: &mut Diagnostics,
) -> Option<Duration> {
    let duration = section.duration(key, mistakes)?;
    if duration.is_zero() {
        let place = section.key_place(key);
        mistakes.push(Diagnostic::error(place, format!("`{key}` is longer than 0")));
    }
    Some(duration)
}

pub(super) fn url(
    section: &mut TomlTable<'_>,
    key: &'static str,
    mistakes: &mut Diagnostics,
) -> Option<String> {
    let text = section.text(key, mistakes)?;
    let parsed = reqwest::Url::parse(&text.text).ok();
    // Paths are appended to it, which a query would swallow.
    let fits = parsed.is_some_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none()
    });
    if fits {
        return Some(text.text);
    }
    let message = format!("`{key}` is not an http or https URL");
    let help = "write it whole, such as \"https://relay.example.com\"";
    mistakes.push(Diagnostic::error(text.place, message).help(help));
    None
}

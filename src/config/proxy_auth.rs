//! `[admin.proxy_auth]`: a proxy in front of the admin API that has checked who its user is.

use std::collections::BTreeMap;
use std::ops::Range;

use axum::http::HeaderName;

use super::values::{networks, set_if_some};
use crate::admin::Role;
use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::table::{Diagnostics, SpannedText, TomlTable, as_text, word, wrong_type};
use crate::intake::client_ip::Network;
use crate::secret::{self, Environment, Secret};

const SECTION: &str = "admin.proxy_auth";

/// What is written of it, perhaps partly in the file and partly in variables.
#[derive(Debug, Clone, Default)]
pub struct ProxyAuthConfig {
    header: Option<HeaderName>,
    from: Vec<Network>,
    role: Option<Role>,
    roles: BTreeMap<String, Role>,
    secret_header: Option<HeaderName>,
    secret: Option<Secret>,
    /// The document that has the section, and where; none if nothing is written.
    place: Option<(String, Range<usize>)>,
    /// Whether a mistake was reported, of which an absent key may only be a consequence.
    is_mistaken: bool,
}

/// The section, once it is complete.
#[derive(Debug, Clone, Copy)]
pub struct ProxyAuthSettings<'c> {
    /// Header with the user's name.
    pub header: &'c HeaderName,
    /// The proxies, as peers of their connections.
    pub from: &'c [Network],
    /// Role of users that `roles` does not name.
    pub role: Role,
    pub roles: &'c BTreeMap<String, Role>,
    /// A further header by which a proxy proves that it is one.
    pub secret: Option<(&'c HeaderName, &'c Secret)>,
}

impl ProxyAuthConfig {
    /// Returns the settings; none without the section, or if it is incomplete.
    pub fn settings(&self) -> Option<ProxyAuthSettings<'_>> {
        let secret = match (&self.secret_header, &self.secret) {
            (Some(name), Some(secret)) => Some((name, secret)),
            (None, None) => None,
            // Half of it was meant to be the whole: nobody is let in without the secret.
            (Some(_), None) | (None, Some(_)) => return None,
        };
        let header = self.header.as_ref().filter(|_| !self.from.is_empty())?;
        let role = self.role.unwrap_or(Role::Read);
        Some(ProxyAuthSettings { header, from: &self.from, role, roles: &self.roles, secret })
    }

    /// Returns the secret with which a proxy proves that it is one.
    pub(super) fn secret(&self) -> Option<&Secret> {
        self.secret.as_ref()
    }

    /// Applies the table of `[admin]`.
    pub(super) fn take(
        &mut self,
        admin: &mut TomlTable<'_>,
        environment: &Environment,
        mistakes: &mut Diagnostics,
    ) {
        let Some(mut table) = admin.table_headed("proxy_auth", SECTION, mistakes) else { return };
        let before = mistakes.iter().filter(|it| it.is_error()).count();
        self.place = Some((table.document().name.clone(), table.place.clone()));
        let header = table.text("header", mistakes).and_then(|text| header(&text, mistakes));
        if let Some((name, place)) = header.as_ref().filter(|(name, _)| is_taken(name)) {
            let message = format!("`{name}` has another meaning");
            let help = "name the header in which the proxy puts its user, such as X-Forwarded-User";
            mistakes.push(Diagnostic::error(place.clone(), message).help(help));
        }
        self.header = header.map(|(name, _)| name).or_else(|| self.header.take());
        set_if_some(&mut self.from, networks(&mut table, "from", mistakes));
        self.role = table.keyword("role", &Role::NAMED, mistakes).or(self.role);
        self.take_roles(&mut table, mistakes);
        if let Some(mut table) =
            table.table_headed("secret_header", "admin.proxy_auth.secret_header", mistakes)
        {
            let name = table.text("name", mistakes).and_then(|text| self::header(&text, mistakes));
            self.secret_header = name.map(|(name, _)| name).or_else(|| self.secret_header.take());
            if let Some(named) = table.text("value", mistakes) {
                self.secret = secret::find(&named, environment, mistakes);
            }
            table.finish(mistakes);
        }
        table.finish(mistakes);
        self.is_mistaken |= mistakes.iter().filter(|it| it.is_error()).count() > before;
    }

    fn take_roles(&mut self, table: &mut TomlTable<'_>, mistakes: &mut Diagnostics) {
        let Some(roles) = table.table_headed("roles", "admin.proxy_auth.roles", mistakes) else {
            return;
        };
        for (user, value) in roles.entries() {
            let Some(named) = as_text(roles.document(), value) else {
                mistakes.push(wrong_type(&user.text, value, "a role in quotes"));
                continue;
            };
            if let Some(role) = word(&named, &Role::NAMED, mistakes) {
                self.roles.insert(user.text, role);
            }
        }
    }

    /// Reports, in the document of this name, what is missing, and proxies that anybody may be.
    // Only once everything was read: the rest may be in a variable.
    pub(super) fn report(&self, document: &str, mistakes: &mut Diagnostics) {
        let place = self.place.as_ref().filter(|(it, _)| it == document && !self.is_mistaken);
        let Some((_, place)) = place else { return };
        if let Some((message, help)) = self.missing() {
            mistakes.push(Diagnostic::error(place.clone(), message).help(help));
            return;
        }
        if let (None, Some(wide)) = (&self.secret, self.from.iter().find(|it| !it.is_single())) {
            let message = format!(
                "every machine in {wide} may name itself any user: `from` has more than one address, \
                 and there is no `secret_header`"
            );
            let help = "name the proxy's own address in `from`, or let the proxy send a secret: \
                        secret_header = { name = \"X-Proxy-Secret\", value = \"env:PROXY_SECRET\" }";
            mistakes.push(Diagnostic::warning(place.clone(), message).help(help));
        }
        if let (None, Some(own)) =
            (&self.secret, self.from.iter().find(|it| it.is_single_loopback()))
        {
            let message = format!(
                "every program on this machine may name itself any user: it connects from {own} as \
                 the proxy does, and there is no `secret_header`"
            );
            let help = "let the proxy send a secret: secret_header = { name = \"X-Proxy-Secret\", \
                        value = \"env:PROXY_SECRET\" }";
            mistakes.push(Diagnostic::warning(place.clone(), message).help(help));
        }
    }

    fn missing(&self) -> Option<(&'static str, &'static str)> {
        match (&self.header, self.from.is_empty(), &self.secret_header, &self.secret) {
            (None, _, _, _) => Some((
                "`header` is missing here",
                "name the header in which the proxy puts its user, such as X-Forwarded-User",
            )),
            (Some(_), true, _, _) => Some((
                "`from` is missing here",
                "name the addresses of the proxy: the header counts from nobody else",
            )),
            (Some(_), false, Some(_), None) => Some((
                "`secret_header` has no `value`",
                "write where its secret is: value = \"env:PROXY_SECRET\"",
            )),
            (Some(_), false, None, Some(_)) => Some((
                "`secret_header` has no `name`",
                "write the name of the header: name = \"X-Proxy-Secret\"",
            )),
            (Some(_), false, Some(_), Some(_)) | (Some(_), false, None, None) => None,
        }
    }
}

fn header(text: &SpannedText, mistakes: &mut Diagnostics) -> Option<(HeaderName, Range<usize>)> {
    let name = text.text.parse().ok();
    if name.is_none() {
        let message = format!("`{}` is not the name of a header", text.text);
        mistakes.push(Diagnostic::error(text.place.clone(), message));
    }
    Some((name?, text.place.clone()))
}

/// Returns whether browsers or proxies send the header with another meaning.
fn is_taken(name: &HeaderName) -> bool {
    ["authorization", "cookie", "host", "origin", "x-csrf-token", "x-forwarded-for"]
        .contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, tests::read};

    const VARIABLES: [(&str, &str); 1] = [("PROXY", "a secret of the proxy")];

    fn section(keys: &str) -> String {
        format!("[admin.proxy_auth]\n{keys}\n")
    }

    fn mistake(keys: &str) -> String {
        read(&section(keys), &VARIABLES).unwrap_err()
    }

    #[test]
    fn section_is_read_with_its_roles_and_secret() {
        let text = section(
            "header = \"X-Forwarded-User\"\nfrom = [\"10.1.2.3\"]\n\
             roles = { \"ops@example.com\" = \"operate\" }\n\
             secret_header = { name = \"X-Proxy-Secret\", value = \"env:PROXY\" }",
        );

        let Config { admin, .. } = read(&text, &VARIABLES).unwrap();

        let settings = admin.proxy_auth.settings().unwrap();
        assert_eq!(settings.header.as_str(), "x-forwarded-user");
        assert_eq!(settings.role.as_str(), "read");
        assert_eq!(settings.roles["ops@example.com"].as_str(), "operate");
        assert_eq!(settings.secret.unwrap().0.as_str(), "x-proxy-secret");
    }

    #[test]
    fn parts_may_be_in_variables() {
        let variables = [
            ("SAVIO_RELAY_ADMIN__PROXY_AUTH__FROM", "10.1.2.3,10.1.2.4"),
            ("SAVIO_RELAY_ADMIN__PROXY_AUTH__ROLES__ADA", "edit"),
        ];

        let Config { admin, .. } = read(&section("header = \"X-User\""), &variables).unwrap();

        let settings = admin.proxy_auth.settings().unwrap();
        assert_eq!((settings.from.len(), settings.roles["ada"].as_str()), (2, "edit"));
        assert!(read("", &[]).unwrap().admin.proxy_auth.settings().is_none());
    }

    #[test]
    fn incomplete_or_mistaken_section_is_explained() {
        let header = "header = \"X-User\"\n";
        let from = "from = [\"10.1.2.3\"]\n";
        let check = |keys: &str, expected: &str| {
            let shown = mistake(keys);
            assert!(shown.contains(expected), "{shown}");
        };
        check(from, "`header` is missing here");
        check(header, "`from` is missing here");
        check(&format!("{header}from = []"), "`from` is missing here");
        check(&format!("{header}from = [\"10.1.2\"]"), "`10.1.2` is not a network");
        check(&format!("{from}header = \"X User\""), "`X User` is not the name of a header");
        check(&format!("{from}header = \"Cookie\""), "`cookie` has another meaning");
        check(&format!("{header}{from}role = \"root\""), "metrics, read, operate, edit");
        check(&format!("{header}{from}roles = {{ ada = \"raed\" }}"), "did you mean \"read\"?");
        check(&format!("{header}{from}roles = {{ ada = 1 }}"), "a role in quotes");
        check(&format!("{header}{from}rolls = {{}}"), "did you mean `roles`?");
        let secret = |keys: &str| format!("{header}{from}secret_header = {{ {keys} }}");
        check(&secret("name = \"X-S\""), "`secret_header` has no `value`");
        check(&secret("value = \"env:PROXY\""), "`secret_header` has no `name`");
        check(&secret("name = \"X-S\", value = \"hunter2\""), "a secret is not written");
        check(&format!("{header}{from}header = 1"), "header");
    }

    #[test]
    fn many_machines_without_a_secret_are_warned_about() {
        let warning = |keys: &str| {
            let document = crate::diagnostics::document::Document {
                name: "relay.toml".to_owned(),
                text: section(&format!("header = \"X-User\"\n{keys}")),
            };
            let variables = VARIABLES.map(|(name, value)| (name.to_owned(), value.to_owned()));
            let (_, read) = Config::read_in_part(Some(document), &variables.into());
            let all = read.into_iter().flat_map(|(_, mistakes)| mistakes);
            all.map(|it| it.message).collect::<Vec<_>>().join("; ")
        };
        let expected = "every machine in 10.0.0.0/8 may name itself any user";
        assert!(warning("from = [\"10.0.0.0/8\"]").contains(expected));
        let secret = "secret_header = { name = \"X-S\", value = \"env:PROXY\" }";
        assert_eq!(warning(&format!("from = [\"10.0.0.0/8\"]\n{secret}")), "");
        assert_eq!(warning("from = [\"10.1.2.3\", \"fd00::1\"]"), "");
        for own in ["127.0.0.1", "::1"] {
            let shown = warning(&format!("from = [\"10.1.2.3\", \"{own}\"]"));
            assert!(shown.contains("every program on this machine may name itself any user"));
            assert_eq!(warning(&format!("from = [\"{own}\"]\n{secret}")), "");
        }
    }
}

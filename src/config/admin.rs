//! `[admin]`: the tokens of the admin API and what each may do.

use std::ops::Range;

use secrecy::ExposeSecret;

use super::proxy_auth::ProxyAuthConfig;
use super::tls::TlsConfig;
use super::values::{set_if_some, url};
use crate::admin::{AdminToken, LoginSettings, ProxyLogins, Role};
use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::table::{Diagnostics, TomlTable};
use crate::event::SourceName;
use crate::secret::{self, Environment, Secret};

/// What to do about a secret that is missing or short.
const LONG: &str = "give it a long secret, such as `openssl rand -hex 32` makes";

/// Settings of the admin API.
#[derive(Debug, Clone)]
pub struct AdminConfig {
    /// The token that may do everything. If missing, one is generated at each start.
    pub token: Secret,
    /// Further tokens, each with a name of its own. One whose secret is missing is not accepted.
    pub tokens: Vec<TokenConfig>,
    /// The certificate of the admin API's address.
    pub tls: TlsConfig,
    /// URL at which people reach the admin API, without a slash at its end.
    pub public_url: Option<String>,
    /// Further host names by which it is reached.
    pub hosts: Vec<String>,
    pub proxy_auth: ProxyAuthConfig,
}

/// A token with a role: `[[admin.tokens]]`.
#[derive(Debug, Clone)]
pub struct TokenConfig {
    pub name: String,
    pub role: Role,
    pub token: Secret,
    /// The document that names it, and where.
    document: String,
    place: Range<usize>,
}

impl AdminConfig {
    pub(super) fn from_environment(environment: &Environment) -> AdminConfig {
        let token = secret::from_environment("ADMIN_TOKEN", environment);
        AdminConfig {
            token,
            tokens: Vec::new(),
            tls: TlsConfig::new("admin.tls"),
            public_url: None,
            hosts: Vec::new(),
            proxy_auth: ProxyAuthConfig::default(),
        }
    }

    /// Returns a sentence for each token of `[[admin.tokens]]`, and for the proxy, whose secret is missing
    /// or short.
    pub fn doubts(&self) -> Vec<String> {
        let doubt = |TokenConfig { name, token, .. }: &TokenConfig| match token.value() {
            Ok(token) => AdminToken::is_short(token.expose_secret()).then(|| {
                format!("the admin token \"{name}\" is short: others may guess it; {LONG}")
            }),
            Err(reason) => {
                Some(format!("the admin token \"{name}\" is not accepted: {reason}; {LONG}"))
            }
        };
        let proxy = self.proxy_auth.settings().and_then(|it| it.secret);
        let of_proxy = proxy.and_then(|(_, secret)| match secret.value() {
            Ok(secret) => AdminToken::is_short(secret.expose_secret()).then(|| {
                format!("the secret of the admin proxy is short: others may guess it; {LONG}")
            }),
            Err(reason) => {
                Some(format!("users of the admin proxy are not admitted: {reason}; {LONG}"))
            }
        });
        self.tokens.iter().filter_map(doubt).chain(of_proxy).collect()
    }

    /// Returns how people log in, where the listener is reached at this URL.
    pub fn logins(&self, own_url: String) -> LoginSettings {
        let proxy = self.proxy_auth.settings().map(|it| {
            let proxy =
                ProxyLogins::new(it.header.clone(), it.from.to_vec(), it.role, it.roles.clone());
            match it.secret {
                Some((header, secret)) => proxy.with_secret(header.clone(), secret.value().ok()),
                None => proxy,
            }
        });
        LoginSettings {
            public_url: self.public_url.clone(),
            hosts: self.hosts.clone(),
            has_tls: self.tls.is_on(),
            own_url,
            proxy,
        }
    }

    /// Applies the section `[admin]`.
    pub(super) fn take(
        &mut self,
        mut section: TomlTable<'_>,
        environment: &Environment,
        mistakes: &mut Diagnostics,
    ) {
        self.tls.take(&mut section, environment, mistakes);
        if let Some(named) = section.text("token", mistakes) {
            set_if_some(&mut self.token, secret::find(&named, environment, mistakes));
        }
        if let Some(url) = url(&mut section, "public_url", mistakes) {
            self.public_url = Some(url.trim_end_matches('/').to_owned());
        }
        set_if_some(&mut self.hosts, host_names(&mut section, mistakes));
        self.proxy_auth.take(&mut section, environment, mistakes);
        for table in section.tables_headed("tokens", "admin.tokens", mistakes) {
            self.take_token(table, environment, mistakes);
        }
        section.finish(mistakes);
    }

    fn take_token(
        &mut self,
        mut table: TomlTable<'_>,
        environment: &Environment,
        mistakes: &mut Diagnostics,
    ) {
        let document = table.document().name.clone();
        let name = table.required_text("name", mistakes);
        let named = table.required_text("token", mistakes);
        let place = table.value_place("token");
        if table.value("role").is_none() {
            let missing = Diagnostic::error(table.place.clone(), "`role` is missing here");
            mistakes.push(missing.help(format!("write one of: {}", role_names())));
        }
        let role = table.keyword("role", &Role::NAMED, mistakes);
        let token = named.and_then(|named| secret::find(&named, environment, mistakes));
        table.finish(mistakes);
        let Some(name) = name else { return };
        // The characters of all names that the log shows.
        if name.text.parse::<SourceName>().is_err() {
            let message = "a token's name has 1 to 64 of a-z, 0-9, - and _, and begins with a \
                           letter or digit";
            mistakes.push(Diagnostic::error(name.place, message));
            return;
        }
        let name = name.text;
        if self.tokens.iter().any(|it| it.name == name) {
            let message = format!("there are two tokens with the name \"{name}\"");
            let help = "give each person and program a name of its own: the log shows who acted";
            mistakes.push(Diagnostic::error(place, message).help(help));
        } else if let (Some(role), Some(token)) = (role, token) {
            self.tokens.push(TokenConfig { name, role, token, document, place });
        }
    }

    /// Reports, in the document of this name, the tokens whose secret another has too.
    // Only once everything was read: a variable may replace the secret of `admin.token`.
    pub(super) fn report_equal_secrets(&self, document: &str, mistakes: &mut Diagnostics) {
        for (index, token) in self.tokens.iter().enumerate() {
            let before = self.tokens[..index].iter().map(|it| (it.name.as_str(), &it.token));
            let mut others = std::iter::once(("admin.token", &self.token)).chain(before);
            let equal = others.find(|(_, other)| are_equal(&token.token, other));
            if let Some((other, _)) = equal.filter(|_| token.document == document) {
                let message = format!("the secret of \"{}\" is that of {other} too", token.name);
                let help = "a request's role follows from its token: give each its own secret";
                mistakes.push(Diagnostic::error(token.place.clone(), message).help(help));
            }
        }
    }
}

/// Reads `hosts`, names without scheme and port.
fn host_names(section: &mut TomlTable<'_>, mistakes: &mut Diagnostics) -> Option<Vec<String>> {
    let mut names = Vec::new();
    for text in section.texts("hosts", mistakes)? {
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if !text.text.is_empty() && text.text.chars().all(is_part) {
            names.push(text.text);
            continue;
        }
        let message = format!("`{}` is not a host name", text.text);
        let help = "write the name alone, without scheme, port and path: \"relay.example.com\"";
        mistakes.push(Diagnostic::error(text.place, message).help(help));
    }
    Some(names)
}

fn are_equal(one: &Secret, other: &Secret) -> bool {
    let both = one.value().ok().zip(other.value().ok());
    both.is_some_and(|(one, other)| one.expose_secret() == other.expose_secret())
}

fn role_names() -> String {
    Role::NAMED.map(|(name, _)| name).join(", ")
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, tests::read};

    const VARIABLES: [(&str, &str); 3] =
        [("ADMIN_TOKEN", "everything"), ("A", "secret a"), ("B", "secret b")];

    fn token(keys: &str) -> String {
        format!("[[admin.tokens]]\n{keys}\n")
    }

    fn mistake(text: &str) -> String {
        read(text, &VARIABLES).unwrap_err()
    }

    #[test]
    fn each_token_has_a_name_and_a_role() {
        let text = token("name = \"scraper\"\ntoken = \"env:A\"\nrole = \"metrics\"")
            + &token("name = \"off\"\ntoken = \"env:NONE\"\nrole = \"edit\"");

        let Config { admin, .. } = read(&text, &VARIABLES).unwrap();

        let tokens: Vec<_> = admin.tokens.iter().map(|it| (&*it.name, it.role.as_str())).collect();
        assert_eq!(tokens, [("scraper", "metrics"), ("off", "edit")]);
    }

    #[test]
    fn incomplete_or_misspelled_token_is_explained() {
        let all = ["name = \"a\"", "token = \"env:A\"", "role = \"read\""];
        for (index, key) in ["name", "token", "role"].into_iter().enumerate() {
            let mut some = all.to_vec();
            some.remove(index);
            let shown = mistake(&token(&some.join("\n")));
            assert!(shown.contains(&format!("`{key}` is missing here")), "{shown}");
        }
        let with = |from: &str, to: &str| mistake(&token(&all.join("\n").replace(from, to)));
        assert!(with("\"read\"", "\"opperate\"").contains("did you mean \"operate\"?"));
        assert!(with("\"read\"", "\"root\"").contains("metrics, read, operate, edit"));
        assert!(with("\"a\"", "\"Ada L\"").contains("a token's name has"));
        assert!(with("env:A", "secret a").contains("env:NAME"));
        assert!(with("role", "rolle").contains("did you mean `role`?"));
        assert!(mistake("[admin.tokens]\nname = \"a\"").contains("[[admin.tokens]]"));
    }

    #[test]
    fn addresses_of_people_are_read_and_checked() {
        let config = "[admin]\npublic_url = \"https://relay.example.com/\"\nhosts = [\"relay\"]";

        let Config { admin, .. } = read(config, &VARIABLES).unwrap();

        assert_eq!(admin.public_url.as_deref(), Some("https://relay.example.com"));
        assert_eq!(admin.hosts, ["relay"]);
        for wrong in ["https://relay", "relay:8081", "relay/x", "", "*.example.com"] {
            let shown = mistake(&format!("[admin]\nhosts = [\"{wrong}\"]"));
            assert!(shown.contains("is not a host name"), "{shown}");
        }
        let shown = mistake("[admin]\npublic_url = \"relay.example.com\"");
        assert!(shown.contains("`public_url` is not an http or https URL"), "{shown}");
    }

    #[test]
    fn name_or_secret_that_two_tokens_share_is_a_mistake() {
        let one = |name: &str, variable: &str| {
            token(&format!("name = \"{name}\"\ntoken = \"env:{variable}\"\nrole = \"read\""))
        };

        let names = mistake(&(one("a", "A") + &one("a", "B")));
        assert!(names.contains("two tokens with the name \"a\""), "{names}");
        let secrets = mistake(&(one("a", "A") + &one("b", "A")));
        assert!(secrets.contains("the secret of \"b\" is that of a too"), "{secrets}");
        let main = mistake(&one("a", "ADMIN_TOKEN"));
        assert!(main.contains("relay.toml:3:9") && main.contains("admin.token"), "{main}");
        assert!(read(&(one("a", "A") + &one("b", "B")), &VARIABLES).is_ok());
    }
}

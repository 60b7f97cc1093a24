//! Reads `store.url`: `sqlite:` and a path, in the forms that sqlx and SQLAlchemy know.

use std::ffi::OsString;
use std::ops::Range;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::diagnostics::diagnostic::Diagnostic;

/// Where a URL says that the store is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct StorePlace {
    pub(super) path: PathBuf,
    /// Where earlier versions kept it, which took all after `sqlite:` as the path; none if that is
    /// the same.
    pub(super) former: Option<PathBuf>,
}

/// A URL that names no store, and what to write.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InvalidUrl {
    message: String,
    help: String,
    /// It may have a password, so that it is not shown.
    is_secret: bool,
}

const EXAMPLE: &str = "write \"sqlite:\" and a file's path, such as \"sqlite:relay.db\"";

impl InvalidUrl {
    fn new(message: impl Into<String>, help: impl Into<String>) -> InvalidUrl {
        InvalidUrl { message: message.into(), help: help.into(), is_secret: false }
    }

    pub(super) fn at(self, place: Range<usize>) -> Diagnostic {
        let diagnostic = Diagnostic::error(place, self.message).help(self.help);
        if self.is_secret { diagnostic.secret() } else { diagnostic }
    }
}

pub(super) fn parse(url: &str) -> Result<StorePlace, InvalidUrl> {
    let Some((scheme, rest)) = url.split_once(':').filter(|(scheme, _)| is_scheme(scheme)) else {
        let help =
            if url.is_empty() { EXAMPLE.to_owned() } else { format!("write \"sqlite:{url}\"") };
        return Err(InvalidUrl::new("`url` does not begin with `sqlite:`", help));
    };
    match scheme.to_ascii_lowercase().as_str() {
        "sqlite" => sqlite(rest),
        "file" | "sqlite3" => {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            let message = format!("`url` begins with `{scheme}:` and not with `sqlite:`");
            Err(InvalidUrl::new(message, format!("write \"sqlite:{path}\"")))
        }
        scheme if scheme.starts_with("postgres") => Err(InvalidUrl {
            is_secret: true,
            ..InvalidUrl::new(
                "`url` names a PostgreSQL server, which this version cannot use yet",
                EXAMPLE,
            )
        }),
        _ => Err(InvalidUrl {
            is_secret: true,
            ..InvalidUrl::new("`url` names a store that this version does not support", EXAMPLE)
        }),
    }
}

fn is_scheme(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    text.len() > 1
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(is_letter)
}

fn sqlite(rest: &str) -> Result<StorePlace, InvalidUrl> {
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    if place.trim_start_matches('/') == ":memory:" {
        return Err(in_memory());
    }
    check_parameters(query)?;
    let text = path_text(place)?;
    if text.starts_with("~/") {
        let help = "write the whole path; `~` is something that only a shell knows";
        return Err(InvalidUrl::new("`url` begins with `~`", help));
    }
    let path = decode(&text)?;
    let is_folder = text.is_empty() || text.ends_with('/') || path.file_name().is_none();
    if is_folder {
        return Err(InvalidUrl::new("`url` names no file", EXAMPLE));
    }
    let former = Some(PathBuf::from(rest)).filter(|former| *former != path);
    Ok(StorePlace { path, former })
}

/// Returns the path of the part before the parameters, still with its percent signs.
fn path_text(place: &str) -> Result<String, InvalidUrl> {
    let path = place.trim_start_matches('/');
    match place.len() - path.len() {
        2 if path.starts_with("localhost/") => {
            let path = path.trim_start_matches("localhost");
            let help = format!("leave it out: write \"sqlite:{path}\"");
            Err(InvalidUrl::new("`url` names a host, but the store is a file", help))
        }
        // With two: `sqlite://relay.db`, relative for sqlx. SQLAlchemy refuses it.
        0 | 2 => Ok(path.to_owned()),
        // `sqlite:///data/relay.db`: absolute for sqlx, and for SQLAlchemy relative.
        3 if is_ambiguous(path) => {
            let message =
                format!("`sqlite:///{path}` is /{path} for some programs and {path} for others");
            let help = format!(
                "write \"sqlite:/{path}\" for the file at /{path}, or \"sqlite:{path}\" for the one in the \
                 relay's working folder"
            );
            Err(InvalidUrl::new(message, help))
        }
        // One is a plain path. Four are absolute for SQLAlchemy, and for sqlx too, since several
        // slashes count as one.
        _ => Ok(format!("/{path}")),
    }
}

/// Returns whether the relative path is likely to be meant, while the absolute one is not there.
fn is_ambiguous(path: &str) -> bool {
    let absolute = Path::new("/").join(path);
    let folder = Path::new(path).parent().filter(|folder| !folder.as_os_str().is_empty());
    match folder {
        // Hardly anybody keeps a database in the root folder.
        None => !path.is_empty(),
        Some(folder) => !absolute.parent().is_some_and(Path::exists) && folder.is_dir(),
    }
}

/// Decodes percent-encoding.
fn decode(text: &str) -> Result<PathBuf, InvalidUrl> {
    let is_encoded = |rest: &str| {
        rest.get(..2).is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    if !text.split('%').skip(1).all(is_encoded) {
        let help = "write %25 for a percent sign that is part of the path";
        return Err(InvalidUrl::new("`url` has a `%` without two hexadecimal digits", help));
    }
    let bytes: Vec<u8> = percent_encoding::percent_decode_str(text).collect();
    if bytes.contains(&0) {
        return Err(InvalidUrl::new("`url` has a zero byte, which no path has", EXAMPLE));
    }
    Ok(PathBuf::from(OsString::from_vec(bytes)))
}

fn check_parameters(query: &str) -> Result<(), InvalidUrl> {
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match (name, value) {
            // What the relay does anyway: read, write, and create the file if it is missing.
            ("mode", "rwc") => {}
            ("mode", "memory") => return Err(in_memory()),
            ("mode", "ro") => {
                let message =
                    "`mode=ro` opens the store read-only, and the relay has to write to it";
                return Err(InvalidUrl::new(message, "remove `mode=ro`"));
            }
            ("mode", _) => {
                let message = format!("`{parameter}`: the relay creates the file if it is missing");
                return Err(InvalidUrl::new(message, "remove `mode`, or write `mode=rwc`"));
            }
            _ => {
                let message = format!("`url` has an unknown parameter `{name}`");
                let help = "remove it: the only one is `mode=rwc`. Write %3F for a question mark that is part \
                            of the path";
                return Err(InvalidUrl::new(message, help));
            }
        }
    }
    Ok(())
}

fn in_memory() -> InvalidUrl {
    let message = "`url` names a database in memory: accepted webhooks would be lost at each stop";
    InvalidUrl::new(message, EXAMPLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(url: &str) -> String {
        let place = parse(url).unwrap_or_else(|error| panic!("{url}: {error:?}"));
        place.path.display().to_string()
    }

    fn mistake(url: &str) -> String {
        let InvalidUrl { message, help, .. } = parse(url).expect_err(url);
        format!("{message}; {help}")
    }

    #[test]
    fn relative_and_absolute_paths_are_read_as_sqlx_and_sqlalchemy_do() {
        for url in
            ["sqlite:relay.db", "sqlite://relay.db", "SQLite:relay.db", "sqlite:relay.db?mode=rwc"]
        {
            assert_eq!(path(url), "relay.db", "{url}");
        }
        assert_eq!(path("sqlite://data/relay.db"), "data/relay.db");
        assert_eq!(path("sqlite:./relay.db"), "./relay.db");
        for url in ["sqlite:/srv/relay.db", "sqlite:///srv/relay.db", "sqlite:////srv/relay.db"] {
            assert_eq!(path(url), "/srv/relay.db", "{url}");
        }
        assert_eq!(path("sqlite:/relay.db"), "/relay.db");
        assert_eq!(path("sqlite:////relay.db"), "/relay.db");
    }

    #[test]
    fn percent_encoding_is_decoded() {
        assert_eq!(path("sqlite:my%20relay.db"), "my relay.db");
        assert_eq!(path("sqlite:what%3F.db"), "what?.db");
        assert_eq!(path("sqlite:100%25.db"), "100%.db");
        assert_eq!(path("sqlite:rel#ay.db"), "rel#ay.db");
        assert!(mistake("sqlite:100%.db").contains("%25"));
        assert!(mistake("sqlite:a%00b").contains("zero byte"));
    }

    #[test]
    fn url_with_two_meanings_is_refused() {
        let shown = mistake("sqlite:///relay.db");
        assert!(
            shown.contains("sqlite:/relay.db") && shown.contains("\"sqlite:relay.db\""),
            "{shown}"
        );
        // `src` is a folder here and not below the root.
        let shown = mistake("sqlite:///src/relay.db");
        assert!(shown.contains("\"sqlite:src/relay.db\""), "{shown}");
    }

    #[test]
    fn every_other_url_says_what_to_write() {
        for (url, expected) in [
            ("", "\"sqlite:relay.db\""),
            ("relay.db", "write \"sqlite:relay.db\""),
            ("/data/relay.db", "write \"sqlite:/data/relay.db\""),
            ("file:relay.db", "write \"sqlite:relay.db\""),
            ("file:///data/relay.db", "write \"sqlite:/data/relay.db\""),
            ("sqlite:", "\"sqlite:relay.db\""),
            ("sqlite://", "\"sqlite:relay.db\""),
            ("sqlite:data/", "\"sqlite:relay.db\""),
            ("sqlite:..", "\"sqlite:relay.db\""),
            ("sqlite:~/relay.db", "the whole path"),
            ("sqlite://localhost/data/relay.db", "\"sqlite:/data/relay.db\""),
            ("sqlite::memory:", "would be lost"),
            ("sqlite://:memory:", "would be lost"),
            ("sqlite:relay.db?mode=memory", "would be lost"),
            ("sqlite:relay.db?mode=ro", "has to write"),
            ("sqlite:relay.db?mode=rw", "mode=rwc"),
            ("sqlite:relay.db?mode=rwc&cache=shared", "unknown parameter `cache`"),
            ("postgres://u:p@h/db", "PostgreSQL"),
            ("postgresql+asyncpg://u:p@h/db", "PostgreSQL"),
            ("mysql://u:p@h/db", "does not support"),
        ] {
            let shown = mistake(url);
            assert!(shown.contains(expected), "{url}: {shown}");
        }
    }

    #[test]
    fn place_of_earlier_versions_is_known_where_it_differs() {
        let former = |url| parse(url).unwrap().former;
        assert_eq!(former("sqlite:relay.db"), None);
        assert_eq!(former("sqlite:///srv/relay.db"), None);
        assert_eq!(former("sqlite://relay.db"), Some("/relay.db".into()));
        assert_eq!(former("sqlite:relay.db?mode=rwc"), Some("relay.db?mode=rwc".into()));
        assert_eq!(former("sqlite:my%20relay.db"), Some("my%20relay.db".into()));
    }
}

//! The texts of the pages, as HTML.

use std::fmt::Write as _;

use super::next_path::NextPath;
use crate::admin::caller::ApiCaller;
use crate::store::LoginMethod;

/// Returns the page with the form for a token, and why the last login failed.
pub(super) fn token_page(next: &NextPath, failure: Option<&str>) -> String {
    let mut main = String::from("<h1>Log in to savio-relay</h1>\n");
    if let Some(failure) = failure {
        let _ = writeln!(main, "<p role=\"alert\">{}</p>", sentence(failure));
    }
    let next = hidden_next(next);
    let _ = write!(
        main,
        "<form method=\"post\" action=\"login\">\n{next}\
         <p><label for=\"token\">Token of the admin API</label>\n\
         <input id=\"token\" name=\"token\" type=\"password\" autocomplete=\"current-password\" required \
         aria-describedby=\"token-help\"></p>\n\
         <p id=\"token-help\">The relay's owner has it. On the relay's machine, <code>savio-relay \
         login-link</code> makes a link that logs in without it.</p>\n\
         <p><button type=\"submit\">Log in</button></p>\n</form>\n"
    );
    page("Log in", &main)
}

/// Returns the page of a login link. It is used by its button only: programs that look into
/// messages open links.
pub(super) fn link_page(code: &str, next: &NextPath) -> String {
    let (code, next) = (escaped(code), hidden_next(next));
    let main = format!(
        "<h1>Log in to savio-relay</h1>\n\
         <p>This link logs in once. The session lasts 12 hours.</p>\n\
         <form method=\"post\" action=\"login\">\n{next}\
         <input type=\"hidden\" name=\"code\" value=\"{code}\">\n\
         <p><button type=\"submit\">Log in</button></p>\n</form>\n"
    );
    page("Log in", &main)
}

/// Returns the page that says who is logged in.
pub(super) fn session_page(caller: &ApiCaller) -> String {
    let mut main = format!(
        "<h1>You are logged in</h1>\n<p>You are {} with the role {}.",
        escaped(&caller.to_string()),
        caller.role.as_str()
    );
    if let Some(session) = &caller.session {
        let ends_at = session.ends_at;
        let _ = write!(main, " The session ends at <time>{ends_at:.0}</time>.");
    }
    main += "</p>\n<p>There are no pages yet. With this session, addresses of the API open in this \
             browser, such as <a href=\"api/v1/events\">api/v1/events</a>. Programs use a token.</p>\n";
    match (&caller.session, caller.via) {
        (_, LoginMethod::Proxy) => main += "<p>The proxy has logged you in: log out there.</p>\n",
        (Some(session), LoginMethod::Token | LoginMethod::Link) => {
            let _ = write!(
                main,
                "<form method=\"post\" action=\"logout\">\n\
                 <input type=\"hidden\" name=\"csrf\" value=\"{}\">\n\
                 <p><button type=\"submit\">Log out</button></p>\n</form>\n",
                session.csrf_token
            );
        }
        (None, LoginMethod::Token | LoginMethod::Link) => {}
    }
    page("Logged in", &main)
}

fn hidden_next(next: &NextPath) -> String {
    let field =
        |path| format!("<input type=\"hidden\" name=\"next\" value=\"{}\">\n", escaped(path));
    next.named().map(field).unwrap_or_default()
}

fn page(title: &str, main: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title} - savio-relay</title>\n</head>\n<body>\n<main>\n{main}</main>\n</body>\n</html>\n"
    )
}

/// Returns the reason of an error as a sentence, with commands as code.
fn sentence(reason: &str) -> String {
    let mut characters = reason.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string());
    let whole = first.unwrap_or_default() + characters.as_str() + ".";
    let parts = whole.split('`').enumerate();
    let part = |(index, text): (usize, &str)| match index % 2 {
        0 => escaped(text),
        _ => format!("<code>{}</code>", escaped(text)),
    };
    parts.map(part).collect()
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_strangers_are_escaped() {
        let next = NextPath::from("/\"><script>".to_owned());

        for page in [link_page("\"><script>", &next), token_page(&next, Some("<script>"))] {
            assert!(!page.contains("<script>"), "{page}");
            assert!(page.contains("value=\"/&quot;&gt;&lt;script&gt;\""), "{page}");
        }
    }

    #[test]
    fn reason_is_shown_as_a_sentence_with_code() {
        assert_eq!(sentence("make one with `a <b>`"), "Make one with <code>a &lt;b&gt;</code>.");
    }
}

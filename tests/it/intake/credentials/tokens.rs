//! All forms of `Authorization: Bearer`, with all configurations that may mean it.

use savio_relay::diagnostics::diagnostic::Document;
use savio_relay::mapping_file::file::MappingFile;
use savio_relay::secret::Environment;
use serde_json::json;

use super::{BODY, Fixture, WRONG, post};

/// Keys for the place of the token, and the prefixes of the header that are accepted.
const CONFIGURATIONS: [(&str, &[&str]); 6] = [
    ("bearer = true", &["Bearer ", "bearer ", "BEARER ", "Bearer  ", ""]),
    (
        "header = \"authorization\"\nbearer = true",
        &["Bearer ", "bearer ", "BEARER ", "Bearer  ", ""],
    ),
    (
        "header = [\"X-A\", \"Authorization\"]\nbearer = true",
        &["Bearer ", "bearer ", "BEARER ", "Bearer  ", ""],
    ),
    ("header = \"authorization\"", &[""]),
    ("header = \"authorization\"\nprefix = \"Bearer \"", &["Bearer "]),
    ("header = \"authorization\"\nprefix = \"JWT \"", &["JWT "]),
];

const BEGINNINGS: [&str; 8] =
    ["Bearer ", "bearer ", "BEARER ", "Bearer  ", "JWT ", "Token ", "Basic ", ""];

#[tokio::test]
async fn bearer_header_is_accepted_in_every_form() {
    for scheme in ["token", "jwt", "hmac"] {
        for (places, accepted) in CONFIGURATIONS {
            let own = format!("[signature]\nscheme = \"{scheme}\"\n{places}");
            let fixture = Fixture::new(&own, "a-secret").await;
            let credential = match scheme {
                "jwt" => fixture.jwt(&json!({})),
                "hmac" => fixture.hex(BODY),
                _ => fixture.secret.to_owned(),
            };
            for beginning in BEGINNINGS {
                let written = format!("{beginning}{credential}");
                let request = post("/hooks/fixture").header("authorization", &written).body(BODY);
                let verdict = fixture.verdict(&request).await;
                // The blanks around a JWT are skipped.
                let is_accepted = accepted.contains(&beginning)
                    || (scheme == "jwt"
                        && accepted.contains(&"Bearer ")
                        && beginning == "Bearer  ");
                let expected = if is_accepted { 202 } else { 401 };
                let case = format!("{scheme}, {places}, {beginning:?}");
                assert_eq!(verdict.0, expected, "{case}: {verdict:?}");
                assert!(expected == 202 || verdict.1 == WRONG, "{case}: {verdict:?}");
            }
        }
    }
}

#[tokio::test]
async fn unexpected_bearer_prefix_is_named() {
    let hint = "right, but `Bearer ` where no prefix is expected";
    for scheme in ["token", "jwt", "hmac"] {
        let own = format!("[signature]\nscheme = \"{scheme}\"\nheader = \"authorization\"");
        let fixture = Fixture::new(&own, "a-secret").await;
        let credential = match scheme {
            "jwt" => fixture.jwt(&json!({})),
            "hmac" => fixture.hex(BODY),
            _ => fixture.secret.to_owned(),
        };
        let request =
            post("/hooks/fixture").header("authorization", &format!("Bearer {credential}"));
        fixture.refuses(&request.body(BODY), (WRONG, Some(hint)), scheme).await;
    }
}

/// Returns the messages of `check` for a signature.
fn mistakes(keys: &str) -> Vec<String> {
    let text = format!(
        "secrets = \"env:SECRET\"\n[signature]\nweak = \"\"\nscheme = {keys}\n\
         [[feedback]]\nproblem = \"$.x\"\n"
    );
    let environment = Environment::from([("SECRET".to_owned(), "a-secret".to_owned())]);
    let file = MappingFile::read(Document { name: "fixture.toml".to_owned(), text }, &environment);
    file.mistakes.into_iter().map(|mistake| mistake.message).collect()
}

#[test]
fn check_warns_of_a_repeated_bearer_header() {
    let twice = "`bearer = true` reads the header Authorization already";
    let cut_off = "`bearer = true` takes `Bearer ` off before `prefix` is looked for";
    for scheme in ["\"token\"", "\"jwt\"", "\"hmac\""] {
        let check = |keys: &str, expected: &[&str]| {
            let found = mistakes(&format!("{scheme}\n{keys}"));
            let found: Vec<&str> = found.iter().map(String::as_str).collect();
            assert_eq!(found, expected, "{scheme} {keys}");
        };
        check("bearer = true", &[]);
        check("header = \"X-A\"\nbearer = true", &[]);
        check("header = \"authorization\"", &[]);
        check("header = \"authorization\"\nbearer = false", &[]);
        check("header = \"authorization\"\nprefix = \"Bearer \"", &[]);
        check("bearer = true\nprefix = \"sha256=\"", &[]);
        for name in ["authorization", "Authorization", "AUTHORIZATION"] {
            check(&format!("header = \"{name}\"\nbearer = true"), &[twice]);
            check(&format!("header = [\"X-A\", \"{name}\"]\nbearer = true"), &[twice]);
        }
        for prefix in ["Bearer ", "bearer ", "Bearer"] {
            check(&format!("bearer = true\nprefix = \"{prefix}\""), &[cut_off]);
        }
    }
}

//! All forms of `Authorization: Bearer`, with all recipes that may mean it.

use savio_relay::diagnostics::diagnostic::Document;
use savio_relay::mapping_file::file::MappingFile;
use savio_relay::secret::Environment;
use serde_json::json;

use super::{BODY, Fixture, WRONG, post};

/// How the places are written, and which beginnings of the header are taken.
const RECIPES: [(&str, &[&str]); 6] = [
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
async fn every_form_of_a_bearer_header_is_taken_where_it_is_meant() {
    for scheme in ["token", "jwt", "hmac"] {
        for (places, taken) in RECIPES {
            let own = format!("[signature]\nscheme = \"{scheme}\"\n{places}");
            let fixture = Fixture::new(&own, "a-secret").await;
            let proof = match scheme {
                "jwt" => fixture.jwt(&json!({})),
                "hmac" => fixture.hex(BODY),
                _ => fixture.secret.to_owned(),
            };
            for beginning in BEGINNINGS {
                let written = format!("{beginning}{proof}");
                let request = post("/hooks/fixture").header("authorization", &written).body(BODY);
                let verdict = fixture.verdict(&request).await;
                // The blanks around a JWT are skipped.
                let is_taken = taken.contains(&beginning)
                    || (scheme == "jwt" && taken.contains(&"Bearer ") && beginning == "Bearer  ");
                let expected = if is_taken { 202 } else { 401 };
                let case = format!("{scheme}, {places}, {beginning:?}");
                assert_eq!(verdict.0, expected, "{case}: {verdict:?}");
                assert!(expected == 202 || verdict.1 == WRONG, "{case}: {verdict:?}");
            }
        }
    }
}

#[tokio::test]
async fn bearer_that_is_not_expected_is_named() {
    let hint = "right, but `Bearer ` where no prefix is expected";
    for scheme in ["token", "jwt", "hmac"] {
        let own = format!("[signature]\nscheme = \"{scheme}\"\nheader = \"authorization\"");
        let fixture = Fixture::new(&own, "a-secret").await;
        let proof = match scheme {
            "jwt" => fixture.jwt(&json!({})),
            "hmac" => fixture.hex(BODY),
            _ => fixture.secret.to_owned(),
        };
        let request = post("/hooks/fixture").header("authorization", &format!("Bearer {proof}"));
        fixture.refuses(&request.body(BODY), (WRONG, Some(hint)), scheme).await;
    }
}

/// What `check` says of a recipe.
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
fn check_warns_of_a_bearer_header_that_is_named_twice() {
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

//! Provider files, and the same tables of a mapping file.

use std::time::Duration;

use super::*;
use crate::diagnostics::diagnostic::Document;
use crate::diagnostics::table;
use crate::intake::provider::setup_guide::SetupTarget;
use crate::intake::signature::{
    Algorithm, CredentialLocation, Scheme, SigningMethod, TimestampLocation,
};

fn document(text: &str) -> Document {
    Document { name: "mapping.toml".to_owned(), text: text.to_owned() }
}

fn read(text: &str, mistakes: &mut Diagnostics) -> Provider {
    let document = document(text);
    let mut root = table::parse(&document, mistakes);
    Provider::inherit(root.get_mut());
    let mut file = TomlTable::root(&document, &root);
    file.value("provider");
    let provider = Provider::read(&mut file, mistakes);
    file.finish(mistakes);
    provider
}

fn builtin(name: &str) -> Provider {
    without_mistakes(Provider::builtin(name).unwrap())
}

fn signature(name: &str, own: &str) -> Signature {
    without_mistakes(&format!("provider = \"{name}\"\n{own}")).signature.unwrap()
}

fn without_mistakes(text: &str) -> Provider {
    let mut mistakes = Diagnostics::new();
    let provider = read(text, &mut mistakes);
    let others = ["unknown key `answers`", "unknown key `import`"];
    mistakes.retain(|mistake| !others.contains(&mistake.message.as_str()));
    assert_eq!(mistakes, [], "{text}");
    provider
}

/// Checks each message and the text that it underlines.
#[track_caller]
fn check_mistakes(text: &str, expected: &[(&str, &str)]) {
    let mut mistakes = Diagnostics::new();
    read(text, &mut mistakes);
    let found: Vec<(&str, &str)> = mistakes
        .iter()
        .map(|mistake| (mistake.message.as_str(), &text[mistake.place.clone()]))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn every_builtin_provider_file_is_valid() {
    for name in Provider::names() {
        let provider = builtin(name);

        assert!(provider.signature.is_some(), "{name}");
        assert!(provider.title.is_some() && provider.docs.is_some(), "{name}");
        assert!(provider.setup.secret_from.is_some(), "{name}");
    }
    assert_eq!(Provider::builtin("nobody"), None);
}

#[test]
fn signature_with_a_scheme_replaces_the_providers() {
    let own = signature("typeform", "[signature]\nscheme = \"token\"\nbearer = true");

    let places = vec![CredentialLocation::Bearer];
    assert_eq!(own.scheme, Scheme::Token { places, prefix: String::new() });
}

#[test]
fn signature_without_a_scheme_changes_the_providers() {
    let own = signature("zapier", "[signature]\nheader = \"X-My-Token\"");
    let Scheme::Message(message) =
        signature("github", "[signature]\nalgorithm = \"sha512\"").scheme
    else {
        panic!("github's scheme changed");
    };

    let places = vec![CredentialLocation::Header("x-my-token".to_owned())];
    assert_eq!(own.scheme, Scheme::Token { places, prefix: String::new() });
    assert_eq!(
        (message.method, message.prefix.as_str()),
        (SigningMethod::Hmac(Algorithm::Sha512), "sha256=")
    );
}

#[test]
fn event_keys_are_read_as_written() {
    let github = builtin("github");

    assert_eq!(github.id.unwrap().text, "header:X-GitHub-Delivery");
    assert!(github.event_type.unwrap().text.starts_with("{{"));
    assert_eq!(github.pings, ["ping"]);
}

#[test]
fn every_mistake_is_shown_at_its_place() {
    check_mistakes(
        r#"
[signature]
scheme = "hmac"
algorithm = "sha265"
header = "X Sig"
signed = "v0:{time}:{body}"
seperator = ","
[event]
each = "$.a"
typ = "$.type"
"#,
        &[
            ("unknown word \"sha265\"", "\"sha265\""),
            ("`X Sig` is not the name of a header", "\"X Sig\""),
            ("unknown part `{time}`", "{time}"),
            ("unknown key `seperator`", "seperator"),
            ("`each` is not a list of events", "\"$.a\""),
            ("unknown key `typ`", "typ"),
        ],
    );
}

#[test]
fn proof_without_a_place_is_a_mistake() {
    let nowhere = ("[signature] does not say where the proof is", "signature");
    for keys in ["", "bearer = false", "header = []"] {
        check_mistakes(&format!("[signature]\nscheme = \"token\"\n{keys}"), &[nowhere]);
    }
    let bearer = "[signature]\nscheme = \"token\"\nbearer = 1";
    check_mistakes(bearer, &[("`bearer` must be true or false", "1")]);
}

#[test]
fn contradictory_signature_keys_are_mistakes() {
    let table = |rest: &str| format!("[signature]\nheader = \"X-Sig\"\n{rest}");
    let hash = table("scheme = \"hash\"\nsigned = \"{body}\"");
    let proves = "a plain hash that does not cover the secret proves nothing";
    check_mistakes(&hash, &[(proves, "\"{body}\"")]);
    let time = table("scheme = \"hmac\"\nsigned = \"{timestamp}\"");
    let nowhere = "`signed` covers {timestamp}, and nothing says where that is";
    check_mistakes(&time, &[(nowhere, "\"{timestamp}\"")]);
    let idle = table("scheme = \"token\"\nencoding = \"hex\"");
    check_mistakes(&idle, &[("`encoding` has no effect with the scheme \"token\"", "\"hex\"")]);
    check_mistakes(
        "x = 1",
        &[("nothing says how the source proves itself", "x = 1"), ("unknown key `x`", "x")],
    );
}

#[test]
fn public_key_scheme_rejects_keys_about_a_secret() {
    let table = |rest: &str| format!("[signature]\nheader = \"X-Sig\"\n{rest}");
    let encoded = table("scheme = \"ed25519\"\nsecret_encoding = \"hex\"");
    let idle = "`secret_encoding` has no effect with the scheme \"ed25519\"";
    check_mistakes(&encoded, &[(idle, "\"hex\"")]);
    let digest = table("scheme = \"ecdsa-p256\"\nalgorithm = \"sha1\"");
    let idle = "`algorithm` has no effect with the scheme \"ecdsa-p256\"";
    check_mistakes(&digest, &[(idle, "\"sha1\"")]);
    let secret = table("scheme = \"ed25519\"\nsigned = \"{secret}{body}\"");
    let never = "a private key is never part of what it signs";
    check_mistakes(&secret, &[(never, "\"{secret}{body}\"")]);
}

#[test]
fn jwt_rejects_keys_that_the_token_replaces() {
    let table = |rest: &str| format!("[signature]\nscheme = \"jwt\"\nbearer = true\n{rest}");
    check_mistakes(&table("timestamp = { window = \"2m\" }"), &[]);
    check_mistakes(&table("algorithm = \"sha1\""), &[("no JWT is signed with sha1", "\"sha1\"")]);
    let from = table("timestamp = { from = \"header:X\" }");
    let idle = "`from` has no effect here: the times are in the token";
    check_mistakes(&from, &[(idle, "\"header:X\"")]);
    let signed = table("signed = \"{body}\"");
    let idle = "`signed` has no effect with the scheme \"jwt\"";
    check_mistakes(&signed, &[(idle, "\"{body}\"")]);
}

#[test]
fn field_of_the_body_is_checked() {
    let table = |rest: &str| format!("[signature]\nscheme = \"hmac\"\n{rest}");
    check_mistakes(&table("field = \"$..a\""), &[("`$..a` is not a field", "\"$..a\"")]);
    let timed = |signed: &str| {
        let time = "timestamp = { from = \"field:$.at\", window = \"1m\" }";
        table(&format!("header = \"X\"\nsigned = \"{signed}\"\n{time}"))
    };
    check_mistakes(&timed("{body}"), &[]);
    check_mistakes(&timed("{field:$.at}{field:$.text}"), &[]);
    let unsigned = "a time window proves nothing about a time that is not signed";
    check_mistakes(&timed("{field:$.text}"), &[(unsigned, "timestamp")]);
    check_mistakes(
        &timed("{field:$.}"),
        &[("unknown part `{field:$.}`", "{field:$.}"), (unsigned, "timestamp")],
    );
}

#[test]
fn unsigned_body_hash_is_a_mistake() {
    let table = |rest: &str| format!("[signature]\nscheme = \"hmac\"\nheader = \"X\"\n{rest}");
    check_mistakes(&table("signed = \"{url}\"\nbody_hash = \"query:h\""), &[]);
    let unsigned = "a hash of the body proves nothing where it is not signed";
    check_mistakes(
        &table("signed = \"{url}\"\nbody_hash = \"header:H\""),
        &[(unsigned, "\"header:H\"")],
    );
    let nowhere = "`body_hash` does not name where a hash is";
    check_mistakes(&table("body_hash = \"h\""), &[(nowhere, "\"h\"")]);
}

#[test]
fn claim_of_a_jwt_can_hold_the_body_hash() {
    let jwt = |rest: &str| format!("[signature]\nscheme = \"jwt\"\nheader = \"X\"\n{rest}");
    check_mistakes(&jwt("body_hash = \"claim:body\"\nencoding = \"base64url\""), &[]);
    check_mistakes(&jwt("prefix = \"JWT \"\ndecompressed = true"), &[]);
    let nowhere = "`body_hash` is not a claim of the token";
    check_mistakes(&jwt("body_hash = \"query:h\""), &[(nowhere, "\"query:h\"")]);
    check_mistakes(&jwt("body_hash = \"claim:\""), &[(nowhere, "\"claim:\"")]);
    let idle = "`encoding` has no effect with the scheme \"jwt\"";
    check_mistakes(&jwt("encoding = \"hex\""), &[(idle, "\"hex\"")]);
    let hmac = "[signature]\nscheme = \"hmac\"\nheader = \"X\"\nbody_hash = \"claim:body\"";
    check_mistakes(hmac, &[("`body_hash` does not name where a hash is", "\"claim:body\"")]);
}

#[test]
fn useless_decoding_is_a_mistake() {
    let table = |rest: &str| format!("[signature]\nscheme = \"hmac\"\n{rest}");
    let url = |rest: &str| table(&format!("header = \"X\"\n{rest}"));
    check_mistakes(&url("signed = \"{url}{body}\"\nurl_decoded = \":/?@!$'()*,;\""), &[]);
    let unsigned = "`url_decoded` has no effect where {url} is not signed";
    check_mistakes(&url("url_decoded = \":\""), &[(unsigned, "\":\"")]);
    let ascii = "an escape in a URL is decoded to an ASCII character here";
    check_mistakes(&url("signed = \"{url}\"\nurl_decoded = \"é\""), &[(ascii, "\"é\"")]);
    let stored = "a proof in a compressed body cannot be overwritten in what is stored";
    check_mistakes(
        "[signature]\nscheme = \"jwt\"\nfield = \"$.a\"\ndecompressed = true",
        &[(stored, "\"$.a\"")],
    );
    let token = "[signature]\nscheme = \"token\"\nheader = \"X\"\ndecompressed = true";
    check_mistakes(token, &[("`decompressed` has no effect with the scheme \"token\"", "true")]);
}

#[test]
fn key_of_another_scheme_names_the_schemes_that_take_it() {
    let text = "[signature]\nscheme = \"jwt\"\nbearer = true\nencoding = \"hex\"\nsined = \"\"";
    let mut mistakes = Diagnostics::new();
    read(text, &mut mistakes);

    let help: Vec<&str> = mistakes.iter().filter_map(|it| it.help.as_deref()).collect();
    assert_eq!(help[0], "leave it out; it is for: hmac, hash, ed25519, ecdsa-p256");
    assert!(help[1].starts_with("known here: scheme, "), "{help:?}");
    assert!(!help[1].contains("signed"), "{help:?}");
}

#[test]
fn without_a_scheme_only_keys_of_no_scheme_are_unknown() {
    check_mistakes(
        "[signature]\nheader = \"X\"\nsigned = \"{x}\"\nsined = \"\"",
        &[("[signature] has no `scheme`", "signature"), ("unknown key `sined`", "sined")],
    );
    check_mistakes(
        "[signature]\nscheme = \"hmca\"\nsined = \"\"",
        &[("unknown word \"hmca\"", "\"hmca\""), ("unknown key `sined`", "sined")],
    );
}

#[test]
fn unfit_inherited_key_is_shown_at_the_files_own_table() {
    check_mistakes(
        "provider = \"hubspot\"\n[signature]\nsigned = \"{body}\"",
        &[
            ("`url_decoded` has no effect where {url} is not signed", "signature"),
            ("a time window proves nothing about a time that is not signed", "signature"),
        ],
    );
}

#[test]
fn keys_of_a_timestamp_are_inherited_one_by_one() {
    let own = "[signature]\ntimestamp = { window = \"1m\" }";
    let Scheme::Message(message) = signature("slack", own).scheme else {
        panic!("slack's scheme changed");
    };
    let clock = message.clock.unwrap();

    let header = TimestampLocation::Header("x-slack-request-timestamp".to_owned());
    assert_eq!((clock.places, clock.window), (vec![header], Some(Duration::from_mins(1))));
}

#[test]
fn weakness_belongs_to_its_scheme() {
    assert!(signature("canny", "").weak.is_some());
    assert!(signature("canny", "[signature]\nprefix = \"x\"").weak.is_some());
    assert_eq!(signature("canny", "[signature]\nscheme = \"basic\"").weak, None);
}

#[test]
fn response_in_the_providers_own_form_is_read() {
    let text = "[answer]\nstatus = 204\ncontent_type = \"text/xml\"\nbody = \"<Ack/>\"";
    let answer = read(text, &mut Diagnostics::new()).response.unwrap();

    assert_eq!((answer.status, answer.body.as_str()), (204, "<Ack/>"));
    let bad = "[signature]\nscheme = \"none\"\n[answer]\nstatus = 404";
    let message = "an answer has a status from 200 to 299";
    check_mistakes(bad, &[(message, "404")]);
}

/// Returns the steps of a source called `acme` of Acme.
fn setup(text: &str, secret: Option<&str>) -> Vec<String> {
    let provider = without_mistakes(text);
    let title = provider.title.unwrap_or_default();
    let target = SetupTarget {
        name: "acme",
        title: &title,
        relay_url: "https://relay.example.com",
        secret,
        is_set_by_api: false,
    };
    provider.setup.filled(&target).lines()
}

#[test]
fn steps_of_a_mapping_stand_around_those_of_its_provider() {
    let own = "provider = \"hubspot\"\n[setup]\nsends = \"deals\"\nnotes = \"Slow.\"\n\
               [[setup.before]]\ntext = \"First.\"\n[[setup.after]]\ntext = \"Last.\"";

    let steps = setup(own, Some("env:HUB"));

    let lines = [
        "1. First.",
        "2. Create a (private or public) app with webhooks.",
        "   Target URL:    https://relay.example.com/hooks/acme",
        "   Subscribe to:  deals",
        "3. Copy the app's client secret and set the relay's environment variable HUB to it.",
        "4. HubSpot signs the URL: set server.public_url in relay.toml to https://relay.example.com",
        "5. Last.",
        "Slow.",
    ];
    assert_eq!(steps, lines);
}

#[test]
fn secret_of_the_first_request_needs_a_file() {
    let set = "1. Asana generates the secret itself and sends it in its first request: set";
    let start = "1. Start the relay. Copy the setup URL of this source (/hooks/acme with ?setup=";

    let with_variable = setup("provider = \"asana\"", Some("env:ACME_SECRET")).join("\n");
    let with_file = setup("provider = \"asana\"", Some("file:acme.secret")).join("\n");

    assert!(with_variable.starts_with(set), "{with_variable}");
    assert!(with_variable.contains("`secrets = [\"file:acme.secret\"]`"), "{with_variable}");
    assert!(with_file.starts_with(start), "{with_file}");
    let reuse = "leave the mapping file unchanged and write it to the file acme.secret.";
    assert!(with_file.replace('\n', " ").contains(reuse), "{with_file}");
}

#[test]
fn source_without_steps_is_told_its_address() {
    let steps = setup("title = \"Acme\"\n[signature]\nscheme = \"none\"", None);

    let lines = [
        "1. Let Acme send its webhooks to this address.",
        "   URL:  https://relay.example.com/hooks/acme",
    ];
    assert_eq!(steps, lines);
}

#[test]
fn mistakes_in_a_setup_are_shown_at_their_place() {
    let table = |rest: &str| format!("[signature]\nscheme = \"none\"\n{rest}");
    check_mistakes(
        &table("[[setup.steps]]\ntext = \"Post to {adress}, {{ticket.url}} {\\\"a\\\":1}\""),
        &[("unknown part `{adress}`", r#""Post to {adress}, {{ticket.url}} {\"a\":1}""#)],
    );
    let who = table("[setup]\nsecret_from = \"me\"\nstep = 1");
    check_mistakes(&who, &[("unknown word \"me\"", "\"me\""), ("unknown key `step`", "step")]);
    let field = table("[[setup.after]]\ntext = \"Go.\"\nenter = { URL = 1 }");
    check_mistakes(&field, &[("`URL` must be a text in quotes", "1")]);
}

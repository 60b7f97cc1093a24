//! Hidden fields of a form: a response has the same requests by webhook and by CSV export.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{counts, events, folder, run, shown};
use crate::support::relay::program;

/// The response of the sample `typeform.form_response.json`, as Typeform's export has it: a column
/// for each option, numbers for yes and no, and then the hidden fields and variables.
const EXPORT: &str = "\
#,What is missing?,Reporting,Billing,Mobile app,Other,\"How much would it help you, from 1 to 5?\",\
Where can we reach you?,May we call you about it?,account_id,channel,company,first_name,last_name,\
plan,Score,Ending,Response Type,Start Date (UTC),Stage Date (UTC),Submit Date (UTC),Network ID,Tags
q7m2xk9dv4s1n8b5,\"A weekly export of all answers as CSV.
Our board asks for it every Monday.\",Reporting,,,Exports,5,mara.lindqvist@northwind.example.com,0,\
acct_20417,in-app,Northwind Ferries,Mara,Lindqvist,pro,7,Thank you!,completed,2026-11-03 09:12:44,,\
2026-11-03 09:15:02,abc123,
";

const HIDDEN: [&str; 6] = ["account_id", "channel", "company", "first_name", "last_name", "plan"];

/// A folder with a mapping that reads hidden fields, the webhook, and this export.
fn prepared(export: &str) -> TempDir {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings");
    let folder = folder("results.csv", export);
    std::fs::create_dir(folder.path().join("mine")).unwrap();
    let mapping = std::fs::read_to_string(root.join("typeform.toml")).unwrap();
    // The type of customer by a hidden field, and a default for people without it.
    let mapping = mapping.replace("\n# feedback_type = {", "\nfeedback_type = {");
    assert!(mapping.contains("\nfeedback_type = { from = \"$.form_response.hidden.plan\""));
    std::fs::write(folder.path().join("mine/typeform.toml"), mapping).unwrap();
    let webhook = std::fs::read(root.join("samples/typeform.form_response.json")).unwrap();
    std::fs::write(folder.path().join("webhook.json"), &webhook).unwrap();
    std::fs::write(folder.path().join("form.json"), form(&webhook).to_string()).unwrap();
    folder
}

/// The form of a webhook, as the answer of `GET /forms/ID` has it.
fn form(webhook: &[u8]) -> Value {
    let webhook: Value = serde_json::from_slice(webhook).unwrap();
    let definition = &webhook["form_response"]["definition"];
    let mut fields = definition["fields"].clone();
    let choices = json!({ "choices": fields[1]["choices"], "allow_multiple_selection": true,
        "allow_other_choice": true });
    // A question in a group.
    fields[1] = json!({ "id": "g", "title": "About", "type": "group", "properties": { "fields": [{
        "id": fields[1]["id"], "ref": "area", "type": "multiple_choice",
        "title": fields[1]["title"], "properties": choices }] } });
    json!({ "id": definition["id"], "title": definition["title"], "fields": fields,
        "hidden": HIDDEN, "variables": { "score": 0 } })
}

/// Returns the requests of a payload.
fn requests(folder: &Path, payload: &str) -> Value {
    let output = program(folder).args(["try", "mine/typeform.toml", payload, "--json"]).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Returns the requests of the only response in the export.
fn requests_of_export(folder: &Path, options: &[&str]) -> Value {
    let options = [&["mine/typeform.toml", "results.csv"], options].concat();
    assert_eq!(counts(folder, &options, 0)["events"], 1);
    let payload = events(folder)[0]["payload"].to_string();
    std::fs::write(folder.join("imported.json"), payload).unwrap();
    requests(folder, "imported.json")
}

#[test]
fn response_has_the_same_requests_by_webhook_and_by_csv() {
    let folder = prepared(EXPORT);

    let expected = requests(folder.path(), "webhook.json");
    let imported = requests_of_export(folder.path(), &["--form", "form.json"]);

    assert_eq!(imported, expected);
    assert_eq!(expected[1]["body"]["feedback_type"], "ACTIVE");
    assert_eq!(expected[1]["body"]["company_name"], "Northwind Ferries");
}

// Without the form, an export has neither its id nor its title, nor questions whose answer is in
// columns of options.
#[test]
fn export_without_the_form_lacks_only_what_it_does_not_have() {
    let export = EXPORT
        .replace(",Reporting,Billing,Mobile app,Other,", ",Which area is it about?,")
        .replace("\",Reporting,,,Exports,", "\",\"Reporting, Exports\",")
        .replace(",0,acct_20417", ",No,acct_20417");
    let folder = prepared(&export);

    let mut expected = requests(folder.path(), "webhook.json");
    let imported = requests_of_export(folder.path(), &[]);

    let feedback = expected[1]["body"].as_object_mut().unwrap();
    feedback.remove("source_url");
    feedback["tags"] = json!(["typeform"]);
    assert_eq!(imported, expected);
}

#[test]
fn hidden_field_decides_as_in_a_webhook_and_not_by_the_default() {
    let folder = prepared(&EXPORT.replace(",pro,7,", ",free,7,"));

    let imported = requests_of_export(folder.path(), &[]);

    assert_eq!(imported[1]["body"]["feedback_type"], "PROSPECT");
    assert_eq!(imported[0]["body"]["internal_id"], "acct_20417");
}

/// Checks the hidden fields of an export with these headings.
#[track_caller]
fn check(headings: &str, options: &[&str], hidden: &[&str]) {
    let cells = vec!["x"; headings.split(',').count()].join(",");
    let folder = prepared(&format!("{headings}\n{cells}\n"));
    let options = [&["typeform", "results.csv", "--dry-run"], options].concat();
    assert_eq!(counts(folder.path(), &options, 0)["hidden_fields"], json!(hidden), "{headings}");
}

#[test]
fn hidden_fields_are_recognised_by_their_place_and_name() {
    let end = "Response Type,Start Date (UTC),Stage Date (UTC),Submit Date (UTC),Network ID,Tags";

    check(
        &format!("#,Idea?,Email,company,utm-source,score,price,{end}"),
        &[],
        &["company", "utm-source"],
    );
    check(&format!("#,Idea?,company,plan,Ending,{end},Ending"), &[], &["company", "plan"]);
    check(
        &format!("#,Idea?,Email,{end},company,Customer Plan,score"),
        &[],
        &["company", "Customer Plan"],
    );
    check(&format!("#,idea,Email,{end}"), &[], &[]);
    check("#,Idea?,plan,Start Date (UTC),Submit Date (UTC),Network ID", &[], &["plan"]);
    check("#,Idea?,plan", &[], &[]);
}

#[test]
fn hidden_fields_can_be_named() {
    let end = "Response Type,Start Date (UTC),Submit Date (UTC),Network ID";

    check(&format!("#,Idea?,Plan,email,{end}"), &["--hidden", "Plan"], &["Plan"]);
    check(
        &format!("#,Idea?,Plan,email,{end}"),
        &["--hidden", "email", "--hidden", "Plan"],
        &["Plan", "email"],
    );
    // Two columns of one name: the question comes first.
    check(&format!("#,company,Idea?,company,{end}"), &["--hidden", "company"], &["company"]);
}

#[test]
fn form_definition_decides_which_columns_are_hidden_fields() {
    let folder = prepared("#,idea,company,mood,Response Type\nr1,Faster,Example Ltd,7,completed\n");
    let form = json!({ "id": "F", "title": "Ideas", "hidden": ["company"],
        "fields": [{ "id": "q", "title": "idea", "type": "long_text" }] });
    std::fs::write(folder.path().join("form.json"), form.to_string()).unwrap();

    let shown = shown(folder.path(), &["typeform", "results.csv", "--form", "form.json"]);

    for part in ["  idea\n                Faster\n", "  company_name  Example Ltd\n"] {
        assert!(shown.contains(part), "{shown}");
    }
    assert!(!shown.contains("mood"), "{shown}");
    assert!(shown.contains("columns: 1 question, hidden fields: company"), "{shown}");
}

#[test]
fn columns_that_may_be_questions_are_named() {
    let folder = prepared("#,idea,company,Response Type\nr1,Faster,Example Ltd,completed\n");

    let shown = shown(folder.path(), &["typeform", "results.csv"]);

    assert!(shown.contains("columns: 2 questions, no hidden fields"), "{shown}");
    let advice = "may be hidden fields, and count as questions: idea, company\n";
    assert!(shown.contains(advice) && shown.contains("--hidden NAME"), "{shown}");
}

#[test]
fn wrong_name_or_form_is_reported_with_the_remedy() {
    let folder = prepared(EXPORT);
    std::fs::write(folder.path().join("old.ndjson"), "{\"message\":\"One\"}\n").unwrap();
    std::fs::write(folder.path().join("other.json"), "{\"items\":[]}").unwrap();
    let check = |arguments: &[&str], code: i32, message: &str| {
        let output = run(folder.path(), &[arguments, &["--dry-run"]].concat());
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
        assert!(errors.contains(message), "{errors}");
    };

    let export = ["typeform", "results.csv"];
    check(
        &[&export[..], &["--hidden", "compny"]].concat(),
        1,
        "results.csv: --hidden: no column is named `compny`; did you mean `company`?",
    );
    check(&[&export[..], &["--form", "other.json"]].concat(), 1, "other.json: it has no questions");
    check(&["form", "results.csv", "--hidden", "plan"], 1, "[import] does not say where");
    check(&["form", "old.ndjson", "--hidden", "plan"], 2, "--hidden names columns of a CSV");
}

#[test]
fn named_hidden_field_of_tally_has_its_type() {
    let text = "Submission ID,Respondent ID,Submitted at,What is missing?,plan\n\
                s1,p1,2026-01-01,Dark mode,pro\n";
    let folder = folder("tally.csv", text);

    counts(folder.path(), &["tally", "tally.csv", "--hidden", "plan"], 0);

    let fields = events(folder.path())[0]["payload"]["data"]["fields"].clone();
    let hidden = json!({ "key": "plan", "label": "plan", "type": "HIDDEN_FIELDS", "value": "pro" });
    assert_eq!(fields[1], hidden, "{fields}");
}

// Programs that export tables put it before what a spreadsheet would take for a formula.
#[test]
fn apostrophe_before_a_telephone_number_is_removed() {
    let folder = prepared("#,Phone?,Idea?,Response Type\nr1,'+15550100,'Tis fine,completed\n");

    let shown = shown(folder.path(), &["typeform", "results.csv"]);

    assert!(shown.contains(" +15550100\n") && shown.contains(" 'Tis fine\n"), "{shown}");
}

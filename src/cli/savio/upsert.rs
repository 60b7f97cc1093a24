//! `savio contacts upsert` and `savio companies upsert`: one record by flags, or many from a file.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Value, json};

use super::account::AccountClient;
use super::options::UpsertOptions;
use super::record::RecordKind;
use super::{bulk, table};
use crate::cli::error::CommandError;
use crate::cli::output;
use crate::savio::{CompanyUpsert, ContactUpsert, Error};

// clap's own usage would show the flags and FILE in one line, as if both could be given.
pub(super) const USAGE_OF_CONTACTS: &str = "\
savio-relay savio contacts upsert --internal-id <ID> --name <NAME> [OPTIONS]
       savio-relay savio contacts upsert <FILE> [OPTIONS]";
pub(super) const USAGE_OF_COMPANIES: &str = "\
savio-relay savio companies upsert --internal-id <ID> --name <NAME> [OPTIONS]
       savio-relay savio companies upsert <FILE> [OPTIONS]";

/// Arguments of a single contact, which exclude FILE.
const ONE: [&str; 6] =
    ["internal_id", "name", "email", "company", "company_internal_id", "attributes"];

#[derive(Debug, clap::Args)]
pub(super) struct ContactArguments {
    /// NDJSON file, one contact per line with the fields below; - for standard input
    #[arg(conflicts_with_all = ONE)]
    file: Option<PathBuf>,
    /// Id of the contact in your system
    #[arg(long, value_name = "ID", required_unless_present = "file")]
    internal_id: Option<String>,
    /// Full name
    #[arg(long, required_unless_present = "file")]
    name: Option<String>,
    /// E-mail address
    #[arg(long, value_name = "EMAIL")]
    email: Option<String>,
    /// Company, by its id in Savio
    #[arg(long, value_name = "NUMBER")]
    company: Option<u64>,
    /// Company, by its id in your system
    #[arg(long, value_name = "ID")]
    company_internal_id: Option<String>,
    /// Attribute, repeatable; numbers and booleans keep their type, quotes make text: plan='"7"'
    #[arg(long = "filterable-attribute", value_name = "KEY=VALUE", value_parser = attribute)]
    attributes: Vec<(String, Value)>,
    #[command(flatten)]
    options: UpsertOptions,
}

#[derive(Debug, clap::Args)]
pub(super) struct CompanyArguments {
    /// NDJSON file, one company per line with the fields below; - for standard input
    #[arg(conflicts_with_all = ["internal_id", "name", "attributes"])]
    file: Option<PathBuf>,
    /// Id of the company in your system
    #[arg(long, value_name = "ID", required_unless_present = "file")]
    internal_id: Option<String>,
    /// Name of the company
    #[arg(long, required_unless_present = "file")]
    name: Option<String>,
    /// Attribute, repeatable; numbers and booleans keep their type, quotes make text: plan='"7"'
    #[arg(long = "filterable-attribute", value_name = "KEY=VALUE", value_parser = attribute)]
    attributes: Vec<(String, Value)>,
    #[command(flatten)]
    options: UpsertOptions,
}

impl ContactArguments {
    pub(super) async fn run(self, account: &AccountClient) -> Result<(), CommandError> {
        if let Some(file) = self.file {
            return bulk::run(account, (RecordKind::Contact, &file), self.options).await;
        }
        // clap requires id and name where there is no FILE: the defaults are never sent.
        let contact = ContactUpsert {
            internal_id: self.internal_id.unwrap_or_default(),
            name: self.name.unwrap_or_default(),
            email: self.email,
            company: self.company,
            company_internal_id: self.company_internal_id,
            filterable_attributes: self.attributes.into_iter().collect(),
        };
        upsert_one("contact", account.client.upsert_contact(&contact), self.options).await
    }
}

impl CompanyArguments {
    pub(super) async fn run(self, account: &AccountClient) -> Result<(), CommandError> {
        if let Some(file) = self.file {
            return bulk::run(account, (RecordKind::Company, &file), self.options).await;
        }
        let company = CompanyUpsert {
            internal_id: self.internal_id.unwrap_or_default(),
            name: self.name.unwrap_or_default(),
            filterable_attributes: self.attributes.into_iter().collect(),
        };
        upsert_one("company", account.client.upsert_company(&company), self.options).await
    }
}

async fn upsert_one<T: Serialize>(
    name: &str,
    call: impl Future<Output = Result<T, Error>>,
    options: UpsertOptions,
) -> Result<(), CommandError> {
    if options.pace.is_given() {
        return Err(CommandError::Usage(
            "--rate, --max-in-flight and --give-up-after are for a FILE".to_owned(),
        ));
    }
    let record = json!(call.await?);
    if options.json {
        return output::print(&output::json(&format!("{record:#}\n")));
    }
    let fields = record.as_object().cloned().unwrap_or_default();
    output::print(&format!("{name} is kept\n{}", table::filled(&fields)))
}

/// Parses `KEY=VALUE`. The value is a number, true, false or a text in quotes as in JSON, or else
/// the text itself.
fn attribute(written: &str) -> Result<(String, Value), String> {
    let (key, value) = written.split_once('=').ok_or("write it as KEY=VALUE")?;
    if key.trim().is_empty() {
        return Err("an attribute has a name".to_owned());
    }
    // Anything else is a text: `007`, which is no JSON number, keeps its zeros, and `null` is a
    // word.
    let typed = serde_json::from_str(value).ok();
    let typed = typed.filter(|it: &Value| it.is_number() || it.is_boolean() || it.is_string());
    Ok((key.trim().to_owned(), typed.unwrap_or_else(|| Value::from(value))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_keep_their_types() {
        let check = |written: &str, expected: Value| {
            assert_eq!(attribute(written), Ok(("k".to_owned(), expected)), "{written}");
        };
        check("k=7", json!(7));
        check("k=49.5", json!(49.5));
        check("k=true", json!(true));
        check("k=\"7\"", json!("7"));
        check("k=pro", json!("pro"));
        check("k=007", json!("007"));
        check("k=a=b", json!("a=b"));
        check("k=", json!(""));
        check("k=null", json!("null"));
        assert!(attribute("plan").is_err() && attribute("=pro").is_err());
    }
}

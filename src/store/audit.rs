//! What people did: the entries of the audit, which are kept for a year.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::filter::Cursor;

/// Lengths in characters to which texts of an entry are cut: names come from people and proxies.
const WHO_CHARS_MAX: usize = 200;
const TARGET_CHARS_MAX: usize = 500;
const DETAIL_CHARS_MAX: usize = 2000;

/// Whoever acts: a person or a program, and how it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    pub who: String,
    pub via: AuditVia,
}

/// How whoever acted is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuditVia {
    /// By a token of the API; `who` is its name.
    Token,
    /// By a login to the pages; `who` is the name of the token it was made with.
    Session,
    /// By a proxy in front of the admin listener; `who` is the name that it gave.
    Proxy,
    /// A command; `who` is `USER@HOST`.
    Cli,
}

/// What was done. The words are part of the API and stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuditAction {
    Replay,
    CancelReplay,
    Release,
    Erase,
    Copy,
    Import,
    Pause,
    Resume,
    Probe,
    IssueEchoKey,
    Login,
    Logout,
    MakeLoginLink,
    SaveMapping,
    RemoveMapping,
    SaveTest,
    AddSource,
    SetSecret,
    TestSource,
    MuteIssue,
    UnmuteIssue,
    TestAlerts,
}

impl AuditVia {
    pub fn as_str(self) -> &'static str {
        match self {
            AuditVia::Token => "token",
            AuditVia::Session => "session",
            AuditVia::Proxy => "proxy",
            AuditVia::Cli => "cli",
        }
    }
}

impl AuditAction {
    pub const ALL: [AuditAction; 22] = [
        AuditAction::Replay,
        AuditAction::CancelReplay,
        AuditAction::Release,
        AuditAction::Erase,
        AuditAction::Copy,
        AuditAction::Import,
        AuditAction::Pause,
        AuditAction::Resume,
        AuditAction::Probe,
        AuditAction::IssueEchoKey,
        AuditAction::Login,
        AuditAction::Logout,
        AuditAction::MakeLoginLink,
        AuditAction::SaveMapping,
        AuditAction::RemoveMapping,
        AuditAction::SaveTest,
        AuditAction::AddSource,
        AuditAction::SetSecret,
        AuditAction::TestSource,
        AuditAction::MuteIssue,
        AuditAction::UnmuteIssue,
        AuditAction::TestAlerts,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            AuditAction::Replay => "replay",
            AuditAction::CancelReplay => "cancel_replay",
            AuditAction::Release => "release",
            AuditAction::Erase => "erase",
            AuditAction::Copy => "copy",
            AuditAction::Import => "import",
            AuditAction::Pause => "pause",
            AuditAction::Resume => "resume",
            AuditAction::Probe => "probe",
            AuditAction::IssueEchoKey => "issue_echo_key",
            AuditAction::Login => "login",
            AuditAction::Logout => "logout",
            AuditAction::MakeLoginLink => "make_login_link",
            AuditAction::SaveMapping => "save_mapping",
            AuditAction::RemoveMapping => "remove_mapping",
            AuditAction::SaveTest => "save_test",
            AuditAction::AddSource => "add_source",
            AuditAction::SetSecret => "set_secret",
            AuditAction::TestSource => "test_source",
            AuditAction::MuteIssue => "mute_issue",
            AuditAction::UnmuteIssue => "unmute_issue",
            AuditAction::TestAlerts => "test_alerts",
        }
    }
}

/// An action that is to be recorded. It holds no word of a payload, no secret, and not the address
/// of an erased person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAuditEntry {
    pub at: Timestamp,
    pub by: Actor,
    pub action: AuditAction,
    /// On what, such as `source form` or `event 0198…`.
    pub on: Option<String>,
    /// How many events or whatever else it concerned.
    pub count: Option<u64>,
    pub detail: Option<String>,
    /// Digests of a mapping file before and after a change of it.
    pub digest_before: Option<String>,
    pub digest_after: Option<String>,
}

impl Actor {
    /// Drops control characters from the name, and cuts a long one.
    pub fn new(who: &str, via: AuditVia) -> Actor {
        let who = who.chars().filter(|it| !it.is_control()).collect::<String>();
        Actor { who: cut(who.trim(), WHO_CHARS_MAX), via }
    }

    /// Returns the entry of an action, to be completed by the methods below.
    pub fn did(&self, action: AuditAction, at: Timestamp) -> NewAuditEntry {
        NewAuditEntry {
            at,
            by: self.clone(),
            action,
            on: None,
            count: None,
            detail: None,
            digest_before: None,
            digest_after: None,
        }
    }
}

impl NewAuditEntry {
    #[must_use]
    pub fn on(self, target: &str) -> NewAuditEntry {
        NewAuditEntry { on: Some(cut(target, TARGET_CHARS_MAX)), ..self }
    }

    #[must_use]
    pub fn count(self, count: u64) -> NewAuditEntry {
        NewAuditEntry { count: Some(count), ..self }
    }

    #[must_use]
    pub fn detail(self, detail: &str) -> NewAuditEntry {
        NewAuditEntry { detail: Some(cut(detail, DETAIL_CHARS_MAX)), ..self }
    }

    /// Names the mapping file's text before and after; none where there is no file.
    #[must_use]
    pub fn digests(self, before: Option<String>, after: Option<String>) -> NewAuditEntry {
        NewAuditEntry { digest_before: before, digest_after: after, ..self }
    }
}

fn cut(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// Conditions that an entry has to meet all of; the default matches every entry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditFilter {
    pub who: Option<String>,
    pub action: Option<AuditAction>,
    /// At or after this time.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
}

/// A page of the audit, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AuditPage {
    pub entries: Vec<AuditEntry>,
    /// Where the next page begins; none at the end.
    #[schema(value_type = Option<String>)]
    pub next: Option<Cursor>,
}

/// A recorded action.
// `via` and `action` are texts here: a newer program may have recorded what this one does not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AuditEntry {
    pub at: Timestamp,
    /// Name of a token or of a person; of a command `USER@HOST`.
    pub who: String,
    /// How they are known: `token`, `session`, `proxy` or `cli`.
    pub via: String,
    /// What they did.
    pub action: String,
    /// On what, such as `source form`.
    pub on: Option<String>,
    /// How many it concerned. That of a replay grows while events are queued again.
    pub count: Option<u64>,
    pub detail: Option<String>,
    /// Digest of a mapping file before its change.
    pub digest_before: Option<String>,
    /// Digest of a mapping file after its change.
    pub digest_after: Option<String>,
}

/// What there is to filter by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditNames {
    /// Who acted, by name; at most 200.
    pub people: Vec<String>,
    /// What was done, by word.
    pub actions: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_api() {
        for action in AuditAction::ALL {
            assert_eq!(serde_json::to_value(action).unwrap(), action.as_str());
        }
        for via in [AuditVia::Token, AuditVia::Session, AuditVia::Proxy, AuditVia::Cli] {
            assert_eq!(serde_json::to_value(via).unwrap(), via.as_str());
        }
    }

    #[test]
    fn long_and_hostile_names_are_cut_and_cleaned() {
        assert_eq!(Actor::new(" ops\u{1b}[31m@relay\n", AuditVia::Cli).who, "ops[31m@relay");
        assert_eq!(Actor::new(&"é".repeat(300), AuditVia::Proxy).who.chars().count(), 201);
        let entry = Actor::new("ops", AuditVia::Cli).did(AuditAction::Erase, Timestamp::UNIX_EPOCH);
        assert_eq!(entry.detail(&"x".repeat(5000)).detail.unwrap().chars().count(), 2001);
    }
}

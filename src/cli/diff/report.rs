//! What would change, for people: counts, and below them the events that differ, field by field.

use jiff::Timestamp;
use serde_json::Value;

use super::field_totals::{FieldTotals, field_name};
use crate::cli::events;
use crate::cli::output::{self, bold, line};
use crate::cli::table;
use crate::cli::times::TimeFormat;
use crate::comparison::{
    ChangeCounts, ChangeKind, ComparedEvent, EventChange, FieldChange, MappedEvent,
};
use crate::diagnostics::counted;
use crate::diagnostics::report::OutputStyle;
use crate::event::MappingDigest;

/// Number of events that are shown, and of differences of one event.
// More than fits on some screens is not read; `--json` has all.
const EVENTS_MAX: usize = 50;
const FIELDS_MAX: usize = 20;

/// Length at which a value is cut.
const VALUE_CHARS_MAX: usize = 300;

/// Length of what is shown of two texts before their first difference.
const SAME_CHARS_MAX: usize = 60;

/// The events that differ, as far as they are shown.
pub(super) struct Report {
    times: TimeFormat,
    look: OutputStyle,
    totals: FieldTotals,
    shown: usize,
    text: String,
}

impl Report {
    pub(super) fn new(times: TimeFormat, look: OutputStyle) -> Report {
        Report { times, look, totals: FieldTotals::default(), shown: 0, text: String::new() }
    }

    pub(super) fn add(&mut self, event: &ComparedEvent) {
        let Some(change) = &event.change else { return };
        self.totals.add(change);
        if self.shown == EVENTS_MAX {
            return;
        }
        self.shown += 1;
        let received = self.times.moment(event.line.received_at);
        let head =
            format!("event {}, received {received}: {}", event.line.id, change.kind.as_str());
        self.text += &format!("\n{}\n", bold(&head, self.look));
        let headline = events::headline(&event.line);
        if !headline.is_empty() {
            self.text += &format!("  {}\n", cut(&headline));
        }
        self.text += &reasons(change);
        // Without requests afterwards, the reason says all.
        if matches!(change.kind, ChangeKind::NewlyIgnored | ChangeKind::NewlyDead) {
            return;
        }
        let fields = change.fields.iter().take(FIELDS_MAX);
        self.text += &fields.map(field).collect::<String>();
        let more = change.fields.len().saturating_sub(FIELDS_MAX) + change.more_fields;
        if more > 0 {
            self.text += &format!("  and {}\n", counted(more as u64, "more difference"));
        }
    }

    pub(super) fn text(
        self,
        counts: ChangeCounts,
        (digest, since): (MappingDigest, Option<Timestamp>),
        not_compared: &[String],
    ) -> String {
        let mapping = match since {
            Some(since) => {
                format!("version {}, in service since {}", digest.short(), self.times.moment(since))
            }
            None => "the file of this configuration, which no relay has had in service".to_owned(),
        };
        let head = format!("{}, compared with {mapping}", outline(counts));
        let mut text = table::sentence(&head, self.look) + &self.totals.text();
        if !not_compared.is_empty() {
            let keys = not_compared.join(", ");
            let told = format!(
                "not compared: {keys}. They differ, and act when a webhook is received or on where \
                 requests are sent"
            );
            text += &table::sentence(&told, self.look);
        }
        text += &self.text;
        let left = counts.differing().saturating_sub(u64::try_from(self.shown).unwrap_or(u64::MAX));
        if left > 0 {
            text += &format!(
                "\n{} {}: --json prints all\n",
                counted(left, "more event"),
                if left == 1 { "differs" } else { "differ" }
            );
        }
        text
    }
}

fn outline(counts: ChangeCounts) -> String {
    let ChangeCounts { compared, same, changed, newly_ignored, newly_dead, newly_made, unreadable } =
        counts;
    let events = if compared == 1 { "event" } else { "events" };
    let parts = [
        (changed, "changed"),
        (newly_ignored, "newly ignored"),
        (newly_dead, "newly dead"),
        (newly_made, "newly made"),
        (unreadable, "unreadable"),
        (same, "the same"),
    ];
    let parts = parts.into_iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> = parts.map(|(count, what)| format!("{count} {what}")).collect();
    if parts.is_empty() {
        return "no event to compare".to_owned();
    }
    format!("{compared} {events}: {}", parts.join(", "))
}

/// Says why there are no requests before or after.
fn reasons(change: &EventChange) -> String {
    let told = |when: &str, mapped: &MappedEvent| {
        let reason = mapped.reason.as_deref().map(|reason| format!("  {when}: {}\n", cut(reason)));
        reason.unwrap_or_default()
    };
    let mapped = change.mapped.as_ref();
    let both = mapped.map(|(before, after)| told("was", before) + &told("now", after));
    let unreadable = change.reason.as_deref().map(|reason| format!("  {}\n", cut(reason)));
    both.or(unreadable).unwrap_or_default()
}

fn field(change: &FieldChange) -> String {
    let name = field_name(change);
    let linked = if change.linked_at_delivery { " (looked up at delivery)" } else { "" };
    let (was, now) = values(&change.was, &change.now);
    format!("  {name}{linked}\n    was  {was}\n    now  {now}\n")
}

/// Shows both values; of two long texts, what surrounds their first difference.
fn values(was: &Value, now: &Value) -> (String, String) {
    let (Value::String(before), Value::String(after)) = (was, now) else {
        return (value(was), value(now));
    };
    let same = before.chars().zip(after.chars()).take_while(|(one, other)| one == other).count();
    let left_out = same.saturating_sub(SAME_CHARS_MAX);
    if left_out == 0 {
        return (cut(before), cut(after));
    }
    let from = |text: &str| {
        let start = text.char_indices().nth(left_out).map_or(text.len(), |(at, _)| at);
        cut(&format!("…{}", &text[start..]))
    };
    (from(before), from(after))
}

fn value(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => cut(text),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            cut(&value.to_string())
        }
    }
}

fn cut(text: &str) -> String {
    // Cut before it is made safe, since a text may have megabytes.
    let end = text.char_indices().nth(VALUE_CHARS_MAX * 2).map_or(text.len(), |(at, _)| at);
    output::shorten(&line(&text[..end]), VALUE_CHARS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_name_only_what_there_is() {
        let counts =
            ChangeCounts { compared: 200, same: 188, changed: 12, ..ChangeCounts::default() };
        assert_eq!(outline(counts), "200 events: 12 changed, 188 the same");
        assert_eq!(outline(ChangeCounts::default()), "no event to compare");
    }

    #[test]
    fn long_texts_are_shown_from_their_difference_on() {
        let (was, now) = ("a".repeat(1_000) + "old end", "a".repeat(1_000) + "new end");

        let (was, now) = values(&was.into(), &now.into());

        let same = "a".repeat(SAME_CHARS_MAX);
        assert_eq!((was, now), (format!("…{same}old end"), format!("…{same}new end")));
        assert_eq!(values(&"ab".into(), &Value::Null), ("ab".to_owned(), "-".to_owned()));
        assert_eq!(values(&"ab".into(), &"ac".into()), ("ab".to_owned(), "ac".to_owned()));
    }

    #[test]
    fn values_of_strangers_are_one_safe_line() {
        assert_eq!(value(&Value::from("a\u{1b}[2J\nb")), "a\u{fffd}[2J b");
        assert_eq!(value(&Value::Null), "-");
        let long = value(&Value::from("x".repeat(1_000_000)));
        assert_eq!((long.chars().count(), long.ends_with('…')), (VALUE_CHARS_MAX, true));
    }
}

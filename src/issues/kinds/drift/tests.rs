//! Fields that go missing, and come back.

use super::*;
use crate::event::{FieldSet, FilledBlock};
use crate::issues::reconcile::reconcile;
use crate::store::IssueKind;

const BLOCK: &str = "feedback[0] 1";
const EMAIL: usize = 5;

fn at(minutes: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + minutes * 60).unwrap()
}

fn served(fields: &[(usize, &'static str)]) -> Vec<ServedBlocks> {
    let block =
        ServedBlock { id: BLOCK.into(), name: "feedback".to_owned(), fields: fields.to_vec() };
    vec![ServedBlocks { source: "form".parse().unwrap(), blocks: vec![block] }]
}

fn with_email() -> Vec<ServedBlocks> {
    served(&[(0, "problem"), (EMAIL, "person_email")])
}

/// Events of one type, one each four minutes, and the issues of it.
#[derive(Default)]
struct Story {
    windows: Windows,
    minute: i64,
    event_type: Option<&'static str>,
    issues: Vec<Issue>,
}

impl Story {
    fn note(&mut self, block: &str, events: u32, has_email: bool) {
        for _ in 0..events {
            let (problem, email) = (FieldSet::of(0), FieldSet::of(EMAIL));
            let (filled, missing) = if has_email {
                (problem.with(email), FieldSet::default())
            } else {
                (problem, email)
            };
            let block = FilledBlock { block: block.into(), filled, missing };
            self.minute += 4;
            let source = "form".parse().unwrap();
            self.windows.note((&source, self.event_type), &[block], at(self.minute));
        }
    }

    /// Looks as the watch does, if the week before had as many events as usual.
    fn look(&mut self, served: &[ServedBlocks], now: i64) -> Vec<String> {
        keep_served(&mut self.windows, served);
        let usual = FieldUse { events: USUAL_MIN, is_known: true };
        let seen = SeenFields { windows: &self.windows, served };
        let lost = missing(seen).into_iter();
        let lost = lost.filter(|it| is_lost(&it.run, usual)).map(|it| it.key).collect();
        let open: Vec<&Issue> = self.issues.iter().filter(|it| it.is_open()).collect();
        let found = judge(seen, &lost, &open, at(now));
        for change in reconcile(&self.issues, &[(IssueKind::Drift, found)], at(now)) {
            self.issues.retain(|issue| issue.id != change.issue.id);
            self.issues.push(change.issue);
        }
        let open = self.issues.iter().filter(|issue| issue.is_open());
        open.map(|issue| issue.words.text.clone()).collect()
    }

    fn open(&mut self) -> usize {
        let now = self.minute;
        self.look(&with_email(), now).len()
    }

    fn outcome(&self) -> &str {
        self.issues.last().and_then(|issue| issue.outcome.as_deref()).unwrap_or_default()
    }
}

#[test]
fn field_that_ten_events_in_a_row_miss_is_an_issue_until_ten_have_it() {
    let mut story = Story { event_type: Some("form_response"), ..Story::default() };
    story.note(BLOCK, 95, true);
    story.note(BLOCK, 5, false);
    assert_eq!(story.open(), 0);
    story.note(BLOCK, 95, true);
    story.note(BLOCK, 9, false);
    assert_eq!(story.open(), 0);

    story.note(BLOCK, 1, false);

    let now = story.minute;
    assert_eq!(
        story.look(&with_email(), now),
        [
            "`person_email` is missing in the last 10 events of type `form_response` from form; 95 of the \
          100 before had it."
        ]
    );
    let place = &story.issues[0].place;
    assert_eq!(
        (place.block.as_deref(), place.field.as_deref(), place.event_type.as_deref()),
        (Some("feedback"), Some("person_email"), Some("form_response"))
    );
    story.note(BLOCK, 2, false);
    assert_eq!((story.open(), story.issues[0].count), (1, 12));
    story.note(BLOCK, 9, true);
    assert_eq!(story.open(), 1, "it is no more than nine");
    story.note(BLOCK, 1, true);
    assert_eq!((story.open(), story.outcome()), (0, "10 events in a row have it again."));
}

#[test]
fn field_that_six_in_a_hundred_never_had_is_no_issue() {
    let mut story = Story::default();
    for _ in 0..6 {
        story.note(BLOCK, 1, false);
        story.note(BLOCK, 15, true);
    }
    story.note(BLOCK, 4, true);
    story.note(BLOCK, 50, false);

    assert_eq!(story.open(), 0);
}

#[test]
fn run_of_less_than_half_an_hour_is_no_issue() {
    let mut story = Story::default();
    story.note(BLOCK, 100, true);
    let minute = story.minute;
    for _ in 0..200 {
        story.minute = minute;
        story.note(BLOCK, 1, false);
    }
    assert_eq!(story.open(), 0);
    story.minute = minute + 30;
    story.note(BLOCK, 1, false);
    assert_eq!(story.open(), 1);
}

#[test]
fn mapping_that_drops_the_field_ends_the_issue() {
    let mut story = Story::default();
    story.note(BLOCK, 100, true);
    story.note(BLOCK, 10, false);
    assert_eq!(story.open(), 1);

    assert!(story.look(&served(&[(0, "problem")]), 500).is_empty());

    assert_eq!(story.outcome(), "The mapping does not fill it any more.");
}

#[test]
fn issue_stays_while_nothing_is_known_of_its_field() {
    let mut story = Story::default();
    story.note(BLOCK, 100, true);
    story.note(BLOCK, 10, false);
    assert_eq!(story.open(), 1);
    // A restart that finds nothing, a source without a mapping, a block that runs for other events.
    story.windows = Windows::default();
    assert_eq!(story.open(), 1);
    assert_eq!(story.look(&[], 500).len(), 1);
    let mut other = with_email();
    other[0].blocks[0].id = "feedback[0] 2".into();
    assert_eq!(story.look(&other, 500).len(), 1);
    story.note("feedback[0] 2", 3, false);
    story.note("feedback[0] 2", 10, true);
    assert!(story.look(&other, 600).is_empty());

    let mut quiet = Story { issues: Vec::new(), ..Story::default() };
    quiet.note(BLOCK, 100, true);
    quiet.note(BLOCK, 10, false);
    assert_eq!(quiet.open(), 1);
    let days = |days: i64| quiet.minute + days * 24 * 60;
    let (before, after) = (days(28) - 1, days(28));
    assert_eq!(quiet.look(&with_email(), before).len(), 1);
    assert!(quiet.look(&with_email(), after).is_empty());
    assert_eq!(quiet.outcome(), "None came for 28 days.");
}

#[test]
fn block_that_runs_for_other_events_begins_anew() {
    let mut story = Story::default();
    story.note(BLOCK, 100, true);
    let mut other = with_email();
    other[0].blocks[0].id = "feedback[0] 2".into();

    assert!(story.look(&other, 500).is_empty());
    story.note("feedback[0] 2", 50, false);

    assert!(story.look(&other, 900).is_empty());
}

#[test]
fn missing_field_is_lost_if_it_usually_came_in_these_hours() {
    let run = |hours: i64| {
        let mut run = MissingRun::new(at(0));
        run.add(at(0));
        run.add(at(hours * 60));
        run
    };
    let found = |events, is_known| FieldUse { events, is_known };
    for (run, week_before, expected) in [
        (run(1), found(10, true), true),
        (run(1), found(9, true), false),
        (run(167), found(9, true), false),
        (run(168), found(0, true), true),
        (run(23), found(0, false), false),
        (run(24), found(0, false), true),
    ] {
        assert_eq!(is_lost(&run, week_before), expected, "{run:?}, {week_before:?}");
    }
}

#[test]
fn text_of_a_person_in_place_of_a_type_is_not_shown() {
    let mut story = Story { event_type: Some("ada@example.com wrote"), ..Story::default() };
    story.note(BLOCK, 100, true);
    story.note(BLOCK, 10, false);

    assert_eq!(story.open(), 1);

    let issue = &story.issues[0];
    assert_eq!(issue.place.event_type, None);
    assert!(!format!("{issue:?}").contains("ada@"), "{issue:?}");
}

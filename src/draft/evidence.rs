//! The evidence by which values of a payload are ranked: one table, with a reason for each row.

use super::clue::{self, Clue};
use super::vocabulary::{
    BODIES, COMPANIES, COPIES, CUSTOMERS, ELSEWHERE, EVENT, LABELS, LINKS, MACHINES, OWN_WORDS,
    PEOPLE, STAFF, TITLES,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    /// What the person says.
    Text,
    Email,
    Name,
    Company,
    Link,
    EventType,
}

/// What a row of the table looks at.
#[derive(Debug, Clone, Copy)]
enum Sign {
    /// A word of the value's own key.
    Key(&'static str),
    /// A word of a key above it.
    Above(&'static str),
    /// A word of its own key or of one above it.
    Path(&'static str),
    Clue(fn(&Clue<'_>) -> bool),
}

#[derive(Debug)]
struct Evidence {
    of: &'static [Field],
    points: i32,
    sign: Sign,
    /// Ends the sentence "taken, since ..." or "not taken, since ...".
    why: &'static str,
}

/// Score from which a value is used; below it, it is only offered.
pub(super) fn threshold(field: Field) -> i32 {
    match field {
        Field::Text | Field::Link => 20,
        Field::Email => 0,
        Field::Name | Field::Company | Field::EventType => 50,
    }
}

const fn row(of: &'static [Field], points: i32, sign: Sign, why: &'static str) -> Evidence {
    Evidence { of, points, sign, why }
}

use Field::{Company, Email, EventType, Link, Name, Text};
use Sign::{Above, Clue as If, Key, Path};

const TABLE: &[Evidence] = &[
    // What the person says: the kind of key decides, the length only between two of the same kind.
    row(&[Text], 80, Key(OWN_WORDS), "its key is one for a person's own words"),
    row(&[Text], 60, Key(BODIES), "its key is one for the body of a text"),
    row(&[Text], 50, If(clue::has_question_as_key), "its key is a question"),
    row(&[Text], 30, Key(TITLES), "it is a title"),
    row(&[Text], 10, If(clue::has_title_beside), "a title stands beside it"),
    row(&[Text], -80, Key(LABELS), "its key is one for names, ids and states"),
    row(&[Text], -20, Key(COPIES), "it is a copy of another text"),
    row(&[Text], -60, If(clue::is_short_label), "one or two words are rather a name or a state"),
    row(&[Text], -60, If(clue::is_in_setting), "it describes the form, the product or the like"),
    row(&[Text], -90, If(clue::is_question), "it is a question, not its answer"),
    row(&[Text], -90, Above(STAFF), "it belongs to your own side"),
    row(
        &[Text],
        -90,
        Key("admin agent internal official reply staff"),
        "it belongs to your own side",
    ),
    row(
        &[Text],
        -60,
        Above("attachment before changes diff previous"),
        "it is an earlier text or an attachment",
    ),
    row(&[Text], -90, If(clue::answers_text), "it answers the text beside it"),
    // Who said it. An address of one's own people must never be taken: it would win over no role
    // at all and over one that may be on either side.
    row(&[Email, Name], 60, Path(CUSTOMERS), "it belongs to a customer"),
    row(&[Email, Name], 30, Path(PEOPLE), "it belongs to a person"),
    row(&[Email, Name], -120, Path(STAFF), "it belongs to your own side"),
    row(
        &[Email, Name],
        -120,
        If(clue::is_flagged_as_staff),
        "a key beside it says that it is one of your people",
    ),
    row(
        &[Email, Name],
        30,
        If(clue::is_flagged_as_customer),
        "a key beside it says that it is a customer",
    ),
    row(&[Email, Name], 40, If(clue::is_beside_text), "it is beside the text"),
    row(&[Email, Name], 40, If(clue::is_below_text), "it belongs to the text"),
    row(
        &[Email, Name],
        -30,
        If(clue::is_in_setting),
        "it is part of the form, the product or the like",
    ),
    row(&[Email], 10, If(clue::is_named_email), "its key says e-mail"),
    row(&[Email], -60, Key("id"), "it is an id"),
    row(&[Email], -40, If(clue::is_shared_mailbox), "it is a mailbox that several people share"),
    // A name. Without a role or an address beside it, anything can have one.
    row(&[Name], 20, If(clue::is_full_name), "its key says name"),
    row(&[Name], 20, If(clue::is_named_by_role), "it looks like a name"),
    row(&[Name], 60, If(clue::is_beside_person), "it is beside the address"),
    row(
        &[Name],
        -10,
        Key("login user username screen handle nick nickname"),
        "it is the name of an account",
    ),
    row(
        &[Name],
        -100,
        Key(
            "app board brand browser category company department device domain event file first form \
        host last middle organisation organization plan product project status survey tag template time type",
        ),
        "it is the name of something else",
    ),
    row(&[Name], -100, If(clue::is_question), "it is a question"),
    // The person's company, not the one that sends the webhook.
    row(&[Company], 60, Path(COMPANIES), "its key says company"),
    row(&[Company], 30, Path("account business employer"), "its key says account or business"),
    row(&[Company], 40, If(clue::is_of_person), "it belongs to the person"),
    row(&[Company], 20, Path(CUSTOMERS), "it belongs to a customer"),
    row(&[Company], 10, If(clue::is_beside_text), "it is beside the text"),
    row(&[Company], -40, If(clue::is_slug), "it looks like the name of an account"),
    row(&[Company], -120, Path(STAFF), "it belongs to your own side"),
    // Where it can be looked at.
    row(&[Link], 20, Key(LINKS), "its key says that it is for people"),
    row(&[Link], 20, If(clue::is_beside_text), "it is beside the text"),
    row(&[Link], -100, Key(MACHINES), "it is for programs"),
    row(&[Link], -20, Key(ELSEWHERE), "it leads to where the person was"),
    row(&[Link], -100, Key("call conference join meeting video"), "it opens a call"),
    row(&[Link], -100, Path(CUSTOMERS), "it leads to a person"),
    row(&[Link], -100, Path(PEOPLE), "it leads to a person"),
    row(&[Link], -40, If(clue::is_in_setting), "it leads to the form, the product or the like"),
    row(&[Link], -30, Above("attachment file image screenshot"), "it leads to a file"),
    // What kind of event it is.
    row(&[EventType], 60, Key(EVENT), "its key says event"),
    row(&[EventType], 35, Key("action kind type"), "its key says type"),
    row(&[EventType], 40, If(clue::says_what_happened), "it says what happened"),
    row(&[EventType], 10, If(clue::has_several_words), "it is made of several words"),
    row(&[EventType], 20, If(clue::is_in_envelope), "the object of the event is beside it"),
    row(&[EventType], -20, If(clue::is_nested), "it is inside the object of the event"),
    row(
        &[EventType],
        -100,
        Key("id at time date url uri version description title"),
        "its key is for something else",
    ),
];

/// Returns the points of a value, and why it has or lacks them: the weightiest reason.
pub(super) fn judge(field: Field, clue: &Clue<'_>) -> (i32, &'static str) {
    let rows = TABLE.iter().filter(|row| row.of.contains(&field) && holds(row.sign, clue));
    let (mut points, mut reason): (i32, Option<&Evidence>) = (base(field, clue), None);
    for row in rows {
        points += row.points;
        if reason.is_none_or(|reason| row.points.abs() > reason.points.abs()) {
            reason = Some(row);
        }
    }
    (points, reason.map_or("nothing else fits better", |row| row.why))
}

/// Returns the points that its shape alone gives: a text gains by its length, and all lose by their
/// depth.
fn base(field: Field, clue: &Clue<'_>) -> i32 {
    let depth = i32::try_from(clue.depth()).unwrap_or(i32::MAX / 100);
    match field {
        // More than 40 words are no better: the key decides between two long texts.
        Field::Text => {
            i32::try_from(clue.text.split_whitespace().take(40).count()).unwrap_or(0) - 4 * depth
        }
        Field::Email => 20 - 2 * depth,
        Field::Link => 40 - 3 * depth,
        Field::Name | Field::Company => -2 * depth,
        Field::EventType => -3 * depth,
    }
}

fn holds(sign: Sign, clue: &Clue<'_>) -> bool {
    match sign {
        Sign::Key(known) => clue.key_has(known),
        Sign::Above(known) => clue.above_has(known),
        Sign::Path(known) => clue.key_has(known) || clue.above_has(known),
        Sign::Clue(is_it) => is_it(clue),
    }
}

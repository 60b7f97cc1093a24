//! Forms with unusual questions, answers or spelling.

use serde_json::{Value, json};

use super::{apply, requests};

/// `[answers]` of the provider's file, and a block that prints all of them.
fn answers_of(provider_file: &str) -> String {
    let (_, answers) = provider_file.split_once("\n[answers]").expect("a form's file");
    let answers = answers.split("\n[import]").next().unwrap();
    let answers = answers.split("\n[setup]").next().unwrap();
    format!("[answers]{answers}\n[[feedback]]\nproblem = \"{{{{ answers }}}}\"")
}

fn jotform(raw: &Value, pretty: &str) -> String {
    let file = answers_of(include_str!("../../intake/providers/jotform.toml"));
    let requests = requests(&file, &json!({"rawRequest": raw, "pretty": pretty}));
    requests[0]["body"]["problem"].as_str().unwrap().to_owned()
}

#[test]
fn jotform_question_is_found_before_its_answer() {
    for (raw, pretty, expected) in [
        (
            json!({"q1_where": "Our office: Berlin, Mitte", "q2_city": "Berlin"}),
            "Where are you?:Our office: Berlin, Mitte, City:Berlin",
            "Where are you?\nOur office: Berlin, Mitte\n\nCity\nBerlin",
        ),
        (
            json!({"q1_note": "call me, phone:5", "q2_score": "5", "q3_again": "5"}),
            "Note:call me, phone:5, Score:5, Once more, please:5",
            "Note\ncall me, phone:5\n\nScore\n5\n\nOnce more, please\n5",
        ),
        (
            json!({"q1_wellHow": "fine", "q2_andNow": "good"}),
            "Well, how was it?:fine, And now, after a week:good",
            "Well, how was it?\nfine\n\nAnd now, after a week\ngood",
        ),
        (
            json!({"q1_tooSlow": "yes: very", "q2_reason": "yes"}),
            "Too slow? Note: only the export:yes: very, Reason:yes",
            "Too slow? Note: only the export\nyes: very\n\nReason\nyes",
        ),
        // An empty answer is not in the text, and an upload in the text is not among the answers.
        (
            json!({"q1_a": "", "q2_ideas": "more", "q3_last": "no"}),
            "Any ideas?:more, Upload, if any:https://files.example.com/a.png, Last, one:no",
            "Any ideas?\nmore\n\nLast\nno",
        ),
        // After an answer in an unknown form, the next question is still found.
        (
            json!({"q1_since": {"widget": "x"}, "q2_phone": {"full": "+49 30 1"}, "q3_sure": "5"}),
            "Since when?:a while, Phone number:+49 30 1, How sure:5",
            "Since\nwidget: x\n\nPhone number\n+49 30 1\n\nHow sure\n5",
        ),
        // Either of two equal texts may be the answer: no question is better than a wrong one.
        (json!({"q1_rateUs": "5"}), "Rate us, 1 or 2:5, where 5 is best:5", "Rate us\n5"),
        (json!({"q1_myIdea": "x"}), "", "My idea\nx"),
    ] {
        assert_eq!(jotform(&raw, pretty), expected, "{pretty}");
    }
}

#[test]
fn answer_that_says_the_most_is_what_was_said() {
    let file = answers_of(include_str!("../../intake/providers/jotform.toml"));
    let raw = json!({"q1_email": "ada@example.com", "q2_missing": "I miss a weekly export",
        "q3_sure": "5"});
    let form = json!({"rawRequest": raw, "pretty": "Email:ada@example.com, What is missing?:I miss a \
        weekly export, How sure?:5"});
    let said = |file: &str| apply(file, &form).unwrap().said;
    assert_eq!(said(&file).as_deref(), Some("I miss a weekly export"));

    // A text that does not begin with a question says by itself what was said.
    let chosen = file.replace("{{ answers }}", "{{ answers['How sure?'] }} {{ answers }}");
    assert_eq!(said(&chosen), None);
    assert_eq!(said(&file.replace("{{ answers }}", "Email")), None, "no answer is read");
}

#[test]
fn jotform_answers_keep_rows_and_times() {
    let date = json!({"month": "01", "day": "31", "year": "2026"});
    let with = |more: Value| {
        let mut all = date.clone();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    for (answer, expected) in [
        (json!({"Speed": "good", "Price": "bad"}), "Speed: good, Price: bad"),
        (json!({"Speed": ["now", "later"], "Price": ""}), "Speed: now, later"),
        (json!({"Speed": {"Week": "1", "Year": "2"}}), "Speed: Week: 1, Year: 2"),
        (json!(["good", "bad"]), "good, bad"),
        (date.clone(), "2026-01-31"),
        (with(json!({"hour": "02", "min": "30", "ampm": "PM"})), "2026-01-31 02:30 PM"),
        (with(json!({"hour": "14", "min": "05"})), "2026-01-31 14:05"),
        (with(json!({"timeInput": "02:30", "hour": "02", "min": "30", "ampm": "PM"})), {
            "2026-01-31 02:30 PM"
        }),
        (json!({"timeInput": "10:15", "hourSelect": "10", "minuteSelect": "15", "ampm": "AM"}), {
            "10:15 AM"
        }),
        (json!({"hourSelect": "10", "minuteSelect": "15"}), "10:15"),
        (json!({"prefix": "Dr.", "first": "Ada", "middle": "M", "last": "Rossi"}), {
            "Dr. Ada M Rossi"
        }),
        (json!({"first": "Ada", "last": ""}), "Ada"),
        (json!({"full": "+49 30 1"}), "+49 30 1"),
        (json!({"area": "030", "phone": "123"}), "030 123"),
        (json!({"addr_line1": "Weg 1", "addr_line2": "", "city": "Ulm", "postal": "89073"}), {
            "Weg 1, Ulm, 89073"
        }),
    ] {
        let text = jotform(&json!({"q7_it": answer}), "");
        assert_eq!(text, format!("It\n{expected}"));
    }
}

#[test]
fn object_answer_keeps_its_entries() {
    let file = "[answers]\neach = \"$.a[*]\"\nquestion = \"@.q\"\nanswer = [\"@.none\", \"@.v\"]\n\
        [[feedback]]\nproblem = \"{{ answers }}\"";
    for (answer, expected) in [
        (json!({"Speed": "good", "Price": 2}), "Speed: good, Price: 2"),
        (json!([{"Speed": ["a", "b"]}, "c"]), "Speed: a, b, c"),
        (json!({"Speed": {"now": true}, "none": null, "empty": [""]}), "Speed: now: true"),
    ] {
        let payload = json!({"a": [{"q": "Q", "v": answer}, {"q": "E", "v": {}}]});
        let mapped = apply(file, &payload).unwrap();
        assert_eq!(mapped.requests[0].body["problem"], format!("Q\n{expected}"));
        assert_eq!(mapped.notes, Vec::<String>::new());
    }
}

#[test]
fn typeform_object_answer_keeps_its_entries() {
    let file = answers_of(include_str!("../../intake/providers/typeform.toml"));
    let payload = json!({"form_response": {
        "definition": {"fields": [{"id": "m", "title": "Rate", "ref": "r"}]},
        "answers": [{"type": "matrix", "matrix": {"Speed": "good", "Price": ["a", "b"]}, "field": {"id": "m"}}],
    }});

    assert_eq!(requests(&file, &payload)[0]["body"]["problem"], "Rate\nSpeed: good, Price: a, b");
}

#[test]
fn matrix_rows_keep_their_names_in_an_object_of_answers() {
    let matrix = json!({"Speed": "good", "Price": ["a", "b"]});
    for (file, payload) in [
        (include_str!("../../intake/providers/form.toml"), json!({"Rate": matrix})),
        (
            include_str!("../../intake/providers/formbricks.toml"),
            json!({"data": {"data": {"Rate": matrix}}}),
        ),
        (
            include_str!("../../intake/providers/webflow.toml"),
            json!({"payload": {"data": {"Rate": matrix}}}),
        ),
    ] {
        let requests = requests(&answers_of(file), &payload);
        assert_eq!(requests[0]["body"]["problem"], "Rate\nSpeed: good, Price: a, b");
    }
}

#[test]
fn answer_is_found_by_any_spelling_of_its_question() {
    let spellings = ["Société", "Socie\u{301}te\u{301}", " SOCIE\u{301}TÉ ", "société\u{a0}"];
    let spaced =
        ["Votre société ?", "Votre\u{a0}socie\u{301}te\u{301}\u{202f}?", "votre  société\n?"];
    for group in [&spellings[..], &spaced[..]] {
        for (question, asked) in group.iter().flat_map(|q| group.iter().map(move |a| (q, a))) {
            let file = format!(
                "[answers]\nof = \"$\"\n[[feedback]]\nproblem = {}",
                json!(format!("{{{{ answers[{}] }}}}", json!(asked)))
            );
            let requests = requests(&file, &json!({*question: "Acme"}));
            assert_eq!(requests[0]["body"]["problem"], "Acme", "{question:?} {asked:?}");
        }
    }
}

#[test]
fn slack_command_finds_the_address_in_its_sentence() {
    let (mapping, _) = super::compile(include_str!("../../../mappings/slack.toml"));
    let person = |text: &str| {
        let payload =
            json!({"command": "/feedback", "text": text, "team_domain": "t", "channel_id": "C"});
        let mapped = mapping.apply(&super::event(Some("/feedback")), &payload.into()).unwrap();
        mapped.requests[0].body.get("person_email").cloned()
    };
    for text in [
        "ada@example.com needs dark mode",
        "ask ada@example.com, she knows",
        "ask ada@example.com; or (bob@example.com)",
        "it was ada@example.com.",
        "is it ada@example.com?",
        "Ada (ada@example.com) wants it!",
        "Ada <ada@example.com> wants it",
        "Ada <mailto:ada@example.com|ada@example.com>, she wants it",
        "mailto:ada@example.com: it is slow",
        "@sales.team says\nada@example.com\nwants it",
        "see example.com and a@b, ada@example.com,bob@example.com",
        "\u{201c}ada@example.com\u{201d}\u{a0}wrote",
        "'ada@example.com' \"x\"",
        "*ada@example.com*\u{2026}",
        "see https://user@host.example.com/x then ada@example.com",
        "see https://user:password@host.example.com/x, ada@example.com",
        "josé@example.com and ada@example.com",
        "éva@example.com, ada@example.com",
        "ada@example.com's boss",
        "ada@example.com\u{2019}s boss",
        "MAILTO:ada@example.com",
        "email=ada@example.com",
        "e-mail:ada@example.com/it is slow",
        "ada@example.com\u{2014}she wants it",
        "ada@example.com-she wants it",
        "ada@example.com...she wants it",
        "ada@example.comが欲しい",
        "-ada@example.com",
        "x@y@z.example.com ada@example.com",
    ] {
        assert_eq!(person(text), Some(json!("ada@example.com")), "{text}");
    }
    for text in ["dark mode", "josé@example.com wants it", "ssh://root:key@host.example.com", "a@b"]
    {
        assert_eq!(person(text), None, "{text}");
    }
}

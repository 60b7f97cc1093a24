//! What the checks of the architecture find, and what they let pass.

use std::collections::BTreeSet;

use super::graph::{self, cycles, is_into_front_page, uses};
use super::paths::named;
use super::{LINES_MAX, module_of, violations};

fn check(path: &str, code: &str, expected: &str) {
    let found = violations(path, &format!("//! A file.\n{code}\n")).join("\n");
    if expected.is_empty() {
        assert_eq!(found, "", "{path}: {code}");
    } else {
        assert!(found.contains(expected), "{path}: {code}\nexpected: {expected}\nfound: {found}");
    }
}

#[test]
fn forbidden_import_is_found_in_every_form() {
    let expected = "intake may not import savio";
    for code in [
        "use crate::savio;",
        "use crate::savio::Client as C;",
        "pub use crate::savio::Client;",
        "pub(crate) use crate::savio::*;",
        "use crate::{event::Event, savio::Client};",
        "use crate::{event::{self, Event}, store::{Store, Kept}, savio};",
        "use {std::fmt, crate::{\n    savio as s,\n}};",
        "use super::savio::Client;",
        "use self::super::savio;",
        "use savio_relay::savio;",
        "use ::savio_relay::savio;",
        "use crate::r#savio::Client;",
        "use crate /* so */ :: // what\n savio;",
        "fn f() { crate::savio::send(); }",
        "fn f(client: &crate::savio::Client) {}",
        "type C = Vec<crate::savio::Client>;",
        "#[serde(with = \"crate::savio::date\")]\nstruct S;",
        "macro_rules! m { () => { $crate::savio::send() } }",
        "#[cfg(test)]\nmod tests { use super::super::savio; }",
        "mod a { mod b { use super::super::super::savio::Client; } }",
        "mod a {} use super::savio;",
        "fn f<'a>(c: char) { if c == '\"' { crate::savio::send() } }",
        "fn f() { let s = \"\\\"\"; crate::savio::send() }",
        "fn f() { let s = r#\"a \" b\"#; crate::savio::send() }",
    ] {
        check("intake.rs", code, expected);
    }
    check("intake/payload.rs", "use super::super::savio;", expected);
}

#[test]
fn import_of_the_root_is_found() {
    for code in
        ["use crate as root;", "use crate::{self as root};", "use crate::*;", "use super::*;"]
    {
        check("intake.rs", code, "imports the root");
    }
    check("main.rs", "use savio_relay as relay;", "imports the root");
    check("main.rs", "use savio_relay::*;", "imports the root");
    check("intake.rs", "extern crate self as relay;", "hides what is imported");
    check("intake.rs", "include!(\"../savio.rs\");", "hides what is imported");
    check("lib.rs", "pub use savio::Client;", "`lib` is not in the table");
    check("intake.rs", "use crate::Client;", "no part `Client`");
}

#[test]
fn comments_and_strings_import_nothing() {
    for code in [
        "// use crate::savio;",
        "/* use crate::savio; /* twice */ crate::savio::x */",
        "/// Unlike [`crate::savio::Client`].\nfn f() {}",
        "const A: &str = \"use crate::savio;\";",
        "const A: &str = r##\"use crate::savio; \"# crate::savio\"##;",
        "const A: &[u8] = b\"\\\" use crate::savio\";",
        "fn f(a: &'static str) -> impl Iterator + use<'_> {}",
    ] {
        check("intake.rs", code, "");
    }
}

#[test]
fn part_imports_only_its_neighbours() {
    check("intake/source.rs", "use crate::{event::Event, store::Store, rate};", "");
    check("intake.rs", "#[cfg(test)] mod tests { use super::*; }", "");
    check("intake.rs", "use payload::decode; use self::source::Source;", "");
    check("intake.rs", "use crate::delivery;", "intake may not import delivery");
    check("delivery.rs", "use crate::intake;", "delivery may not import intake");
    check("delivery/outcome.rs", "use crate::savio::Answer;", "");
    check("mapping/query.rs", "use crate::store::Store;", "mapping may not import store");
    check("event.rs", "use crate::rate::Rate;", "event may not import rate");
    check("diagnostics.rs", "use crate::rate::Rate;", "");
    check("store.rs", "use crate::config::Config;", "store may not import config");
    check("mapping_file.rs", "use crate::cli;", "mapping_file may not import cli");
    check("cli/serve.rs", "use crate::{config, intake, delivery, sandbox};", "");
    check("main.rs", "use savio_relay::{cli, telemetry};", "");
    check("main.rs", "use savio_relay::config;", "main may not import config");
    check("main.rs", "use savio_relay::clock;", "main may not import clock");
    check("dashboard.rs", "use crate::event;", "`dashboard` is not in the table");
}

#[test]
fn impure_use_in_a_pure_file_is_found() {
    for code in [
        "async fn f() {}",
        "fn f() { std::fs::read(\"x\"); }",
        "use std::{fmt, net::TcpStream};",
        "use tokio::time::sleep;",
        "use crate::clock;",
        "fn f() { crate::clock::now(); }",
        "use std::time::SystemTime;",
        "fn f() { jiff::Timestamp::now(); }",
    ] {
        check("intake/signature.rs", code, "in a pure file");
        check("mapping/template/dates.rs", code, "in a pure file");
    }
    check("mapping.rs", "mod tests { use std::time::Instant; }", "");
    check("mapping.rs", "mod tests { use crate::store; }", "mapping may not import store");
    check("delivery/outcome.rs", "use std::time::Duration; use jiff::Timestamp;", "");
    check("delivery.rs", "async fn f() { crate::clock::now(); }", "");
}

#[test]
fn task_started_elsewhere_is_found() {
    check("intake.rs", "fn f() { tokio::spawn(g()); }", "begins a task");
    check("delivery.rs", "use tokio::{spawn};", "begins a task");
    check("savio.rs", "use std::thread; fn f() { thread::spawn(g); }", "begins a task");
    check("store/sqlite.rs", "use std::thread; fn f() { thread::Builder::new(); }", "");
    check("relay/tasks.rs", "fn f() { tokio::spawn(g()); }", "");
    check("relay.rs", "fn f() { tokio::spawn(g()); }", "begins a task");
    check("savio.rs", "mod tests { fn f() { std::thread::spawn(g); } }", "");
    check("cli/check.rs", "fn f() { tokio::task::spawn(g()); }", "begins a task");
    check("delivery.rs", "use tokio::task::JoinSet;", "");
    check("intake.rs", "use tokio::task::JoinSet;", "begins a task");
}

#[test]
fn file_without_opening_or_too_long_is_found() {
    let long = format!("//! Long.\n{}", "\n".repeat(LINES_MAX));

    assert!(violations("savio.rs", "use std::fmt;\n")[0].contains("opens with"));
    assert!(violations("savio.rs", "//! 1\n//! 2\n//! 3\n//! 4\n")[0].contains("opens with"));
    assert!(violations("savio.rs", &long)[0].contains("501 lines"));
    assert!(violations("savio/mod.rs", "//! A file.\n")[0].contains("beside"));
    assert!(violations("lib.rs", "//! 1\n//! 2\n//! 3\n//! 4\n").is_empty());
}

/// Returns the uses among files with this code.
fn uses_of(files: &[(&str, &str)]) -> BTreeSet<graph::Use> {
    let read = |(path, code): &(&str, &str)| {
        let module = module_of(path);
        ((*path).to_owned(), named(code, &module))
    };
    uses(&files.iter().map(read).collect::<Vec<_>>())
}

#[test]
fn use_of_another_file_is_found_in_every_form() {
    for code in [
        "use super::b::B;",
        "use crate::store::{b::{self, B}};",
        "use super::b;",
        "fn f(b: super::b::B) {}",
        "fn f() { format!(\"{}\", super::b::f()); }",
        "#[serde(with = \"super::b\")]\nstruct S;",
        "mod inner { use super::super::b::B; }",
    ] {
        let found = uses_of(&[("store/a.rs", code), ("store/b.rs", "")]);
        let expected = BTreeSet::from([("store/a.rs".to_owned(), "store/b.rs".to_owned())]);
        assert_eq!(found, expected, "{code}");
    }
    for code in ["#[cfg(test)] mod tests { use super::super::b::B; }", "use std::b::B;"] {
        assert!(uses_of(&[("store/a.rs", code), ("store/b.rs", "")]).is_empty(), "{code}");
    }
}

#[test]
fn use_of_a_front_page_from_below_is_found() {
    for code in ["use super::B;", "use crate::store::B;", "fn f() { super::f() }"] {
        let found = uses_of(&[("store.rs", "mod a;"), ("store/a.rs", code)]);
        assert!(found.iter().any(is_into_front_page), "{code}");
    }
    let found = uses_of(&[("store.rs", "mod a; use a::A; fn f() { a::f() }"), ("store/a.rs", "")]);
    assert_eq!(found.len(), 1);
    assert!(!found.iter().any(is_into_front_page));
}

#[test]
fn cycle_of_files_is_found() {
    let files = [
        ("a.rs", "use crate::b::B;"),
        ("b.rs", "use crate::c::C;"),
        ("c.rs", "use crate::a::A;"),
        ("d.rs", "use crate::a::A;"),
    ];
    assert_eq!(cycles(&uses_of(&files)), [["a.rs", "b.rs", "c.rs"]]);
    assert!(cycles(&uses_of(&files[1..])).is_empty());
}

//! Random events, answers, faults, restarts, pauses and times, compared with a simple reference
//! model. Nothing sleeps: time is a parameter.

mod reference;
mod savio;
mod suspects;
mod world;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use savio_relay::delivery::Mappings;
use world::World;

/// One random run.
#[derive(Debug, Clone)]
struct Story {
    /// `unanswered = "hold"`.
    holds: bool,
    max_in_flight: usize,
    answers: Vec<(Answer, u8)>,
    steps: Vec<Step>,
}

/// Savio's reaction to a request.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Answer {
    Created,
    /// 200 from another server.
    Page,
    Refused,
    Forbidden,
    Busy,
    /// 429, with these seconds in `Retry-After`.
    Later(i64),
    /// Accepts the request and closes the connection.
    Nothing,
}

#[derive(Debug, Clone)]
enum Step {
    Receive(Payload),
    Deliver,
    /// Kills the process while it waits for its n-th response from now.
    Crash(usize),
    /// Kills the process after it claimed this many events and before it maps one.
    CrashUnmapped(usize),
    Restart,
    /// Seconds pass.
    Pass(i64),
    Pause,
    Resume,
    PauseSource(usize),
    ResumeSource(usize),
    /// Makes probes pass or fail.
    Probe(bool),
    Replay(Index),
    Release(Index, bool),
}

/// The payload of an event, from which its requests are easy to derive.
#[derive(Debug, Clone)]
struct Payload {
    source: usize,
    account: Option<u8>,
    user: Option<u8>,
    feedback: Option<Feedback>,
}

#[derive(Debug, Clone)]
struct Feedback {
    /// Without a text, the event cannot be mapped.
    has_text: bool,
    title: Option<u8>,
    tags: Vec<u8>,
}

const SOURCES: [&str; 2] = ["form", "other"];

fn stories() -> impl Strategy<Value = Story> {
    let answers = prop::collection::vec((answer(), 0..6_u8), 0..30);
    let steps = prop::collection::vec(step(), 4..24);
    (any::<bool>(), 1..5_usize, answers, steps).prop_map(
        |(holds, max_in_flight, answers, steps)| Story { holds, max_in_flight, answers, steps },
    )
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        8 => Just(Answer::Created),
        1 => Just(Answer::Page),
        1 => Just(Answer::Refused),
        1 => Just(Answer::Forbidden),
        3 => Just(Answer::Busy),
        1 => prop::sample::select(vec![1, 30, 5_000]).prop_map(Answer::Later),
        2 => Just(Answer::Nothing),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => payload().prop_map(Step::Receive),
        6 => Just(Step::Deliver),
        1 => (1..4_usize).prop_map(Step::Crash),
        1 => (1..4_usize).prop_map(Step::CrashUnmapped),
        1 => Just(Step::Restart),
        6 => prop::sample::select(vec![1, 6, 40, 70, 600, 3_700, 90_000, 260_000])
            .prop_map(Step::Pass),
        1 => Just(Step::Pause),
        2 => Just(Step::Resume),
        1 => (0..SOURCES.len()).prop_map(Step::PauseSource),
        1 => (0..SOURCES.len()).prop_map(Step::ResumeSource),
        1 => any::<bool>().prop_map(Step::Probe),
        1 => any::<Index>().prop_map(Step::Replay),
        1 => (any::<Index>(), any::<bool>()).prop_map(|(event, arrived)| Step::Release(event, arrived)),
    ]
}

fn payload() -> impl Strategy<Value = Payload> {
    let tags = prop::collection::vec(0..3_u8, 0..3);
    let has_text = prop::bool::weighted(0.95);
    let feedback = (has_text, prop::option::of(0..2_u8), tags)
        .prop_map(|(has_text, title, tags)| Feedback { has_text, title, tags });
    let few = || prop::option::weighted(0.3, 0..2_u8);
    let feedback = prop::option::weighted(0.8, feedback);
    (0..SOURCES.len(), few(), few(), feedback)
        .prop_map(|(source, account, user, feedback)| Payload { source, account, user, feedback })
}

async fn run(story: &Story, mappings: &Mappings) -> Result<(), TestCaseError> {
    let mut world = World::new(story, mappings).await;
    for step in &story.steps {
        world.take(step).await;
        world.judge().await.map_err(|wrong| TestCaseError::fail(format!("{step:?}: {wrong}")))?;
    }
    world.heal().await;
    world.judge().await.map_err(|wrong| TestCaseError::fail(format!("in the end: {wrong}")))?;
    world.nothing_waits().await.map_err(TestCaseError::fail)
}

/// Number of runs, unless PROPTEST_CASES is set.
const RUNS: u32 = 400;

#[expect(clippy::disallowed_methods, reason = "proptest reads it, and has a default of its own")]
fn has_number_of_cases() -> bool {
    std::env::var_os("PROPTEST_CASES").is_some()
}

#[test]
fn random_histories_end_in_states_of_the_reference() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut config =
        Config { max_shrink_iters: 2_000, failure_persistence: None, ..Config::default() };
    if !has_number_of_cases() {
        config.cases = RUNS;
    }

    let mappings = world::mappings();
    let result =
        TestRunner::new(config).run(&stories(), |story| runtime.block_on(run(&story, &mappings)));

    result.unwrap_or_else(|error| panic!("{error}"));
}

//! Hands the checks of the running relay to the admin API, which knows no configuration.

use std::sync::Arc;

use crate::admin::{HealthChecks, HealthFinding, HealthVerdict};
use crate::doctor::finding::{Finding, FindingLevel};
use crate::doctor::program;
use crate::doctor::self_check::SelfCheck;

pub(super) fn checks(own: SelfCheck) -> HealthChecks {
    let own = Arc::new(own);
    HealthChecks::new(move || {
        let own = Arc::clone(&own);
        Box::pin(async move {
            let found = own.findings(program(env!("BUILD_VERSION"))).await;
            found.into_iter().map(shown).collect()
        })
    })
}

fn shown(Finding { part, level, found, advice, command }: Finding) -> HealthFinding {
    let verdict = match level {
        FindingLevel::Ok => HealthVerdict::Ok,
        FindingLevel::Warning => HealthVerdict::Warning,
        FindingLevel::Wrong => HealthVerdict::Wrong,
        FindingLevel::Unseen => HealthVerdict::Unseen,
    };
    HealthFinding { part, verdict, found, advice, command }
}

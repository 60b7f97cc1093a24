//! Findings, printed as a list or as JSON.

use serde_json::json;

use crate::cli::output::{self, bold, stdout_style};
use crate::diagnostics::report::OutputStyle;
use crate::doctor::finding::{Finding, FindingLevel};

fn count(findings: &[Finding], level: FindingLevel) -> usize {
    findings.iter().filter(|finding| finding.level == level).count()
}

pub(super) fn json(findings: &[Finding]) -> String {
    let shown = json!({
        "wrong": count(findings, FindingLevel::Wrong),
        "unseen": count(findings, FindingLevel::Unseen),
        "warnings": count(findings, FindingLevel::Warning),
        "findings": findings,
    });
    output::json(&format!("{shown:#}\n"))
}

pub(super) fn text(findings: &[Finding]) -> String {
    let look = stdout_style();
    let mut shown = String::new();
    let mut part = "";
    for finding in findings {
        if finding.part != part {
            part = finding.part;
            shown += &format!("{}\n", bold(part, look));
        }
        shown += &line(finding, look);
    }
    shown + "\n" + &summary(findings) + "\n"
}

fn line(finding: &Finding, look: OutputStyle) -> String {
    let level = format!("{:7}", word(finding.level));
    let level = match finding.level {
        FindingLevel::Ok => level,
        FindingLevel::Warning | FindingLevel::Wrong | FindingLevel::Unseen => bold(&level, look),
    };
    let mut shown = format!("  {level}  {}\n", output::line(&finding.found));
    if let Some(advice) = &finding.advice {
        shown += &format!("           -> {}\n", output::line(advice));
    }
    shown
}

fn summary(findings: &[Finding]) -> String {
    let [wrong, unseen, warnings] =
        [FindingLevel::Wrong, FindingLevel::Unseen, FindingLevel::Warning]
            .map(|it| count(findings, it));
    let mut parts = vec![format!("checked: {}", findings.len())];
    parts.extend((wrong > 0).then(|| format!("{wrong} wrong")));
    parts.extend((unseen > 0).then(|| format!("{unseen} could not be checked")));
    parts.extend((warnings > 0).then(|| format!("{warnings} with a warning")));
    if parts.len() == 1 {
        parts.push("all is well".to_owned());
    }
    parts.join(", ")
}

fn word(level: FindingLevel) -> &'static str {
    match level {
        FindingLevel::Ok => "ok",
        FindingLevel::Warning => "warning",
        FindingLevel::Wrong => "WRONG",
        FindingLevel::Unseen => "unseen",
    }
}

//! Programs of others that check what the relay writes, where they are installed.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use super::left_out::report_left_out;

/// Runs a tool with this text on its standard input; none if it is not installed and the test is
/// left out.
#[track_caller]
pub(crate) fn run_tool(name: &str, arguments: &[&str], input: &str) -> Option<Output> {
    let tool = Command::new(name)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut tool = match tool {
        Ok(tool) => tool,
        Err(error) => {
            report_left_out(&format!("what {name} checks: {name} cannot be run ({error})"));
            return None;
        }
    };
    tool.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    Some(tool.wait_with_output().unwrap())
}

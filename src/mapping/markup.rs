//! Formatted text as plain text: HTML, and Slack's marks. Linear in the input, whatever it holds.

mod html;
mod slack;
mod text;

pub(super) use html::html_to_text;
pub(super) use slack::slack_to_text;

//! Converts formatted text, HTML or Slack's markup, to plain text, in linear time for any input.

mod html;
mod slack;
mod text;

pub(super) use html::html_to_text;
pub(super) use slack::slack_to_text;

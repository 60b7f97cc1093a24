//! Slack's markup as plain text: mentions, channels, links and the three escapes.

use super::text::{capped, link, strip_scheme};

/// Renders `<@U1|ann> see <https://x.io|here>` as `@ann see here (https://x.io)`.
pub(crate) fn slack_to_text(marked: &str) -> String {
    let (mut rest, ending) = capped(marked);
    let mut text = String::with_capacity(rest.len());
    while let Some(start) = rest.find('<') {
        text.push_str(&unescape(&rest[..start]));
        let after = &rest[start + 1..];
        // A mark ends before the next one begins, so no part of the text is searched twice.
        let end = after.find(['<', '>']).unwrap_or(after.len());
        if after[end..].starts_with('>') {
            text.push_str(&unescape(&mark(&after[..end])));
            rest = &after[end + 1..];
        } else {
            text.push('<');
            text.push_str(&unescape(&after[..end]));
            rest = &after[end..];
        }
    }
    text.push_str(&unescape(rest));
    text.push_str(ending);
    text.trim().to_owned()
}

fn mark(content: &str) -> String {
    let (target, label) = content.split_once('|').unwrap_or((content, ""));
    if let Some(user) = target.strip_prefix('@') {
        return format!("@{}", first(label.trim_start_matches('@'), user));
    }
    if let Some(channel) = target.strip_prefix('#') {
        return format!("#{}", first(label.trim_start_matches('#'), channel));
    }
    if let Some(command) = target.strip_prefix('!') {
        // `subteam^ID|@name` and `date^seconds^format|text` have their parts after the first `^`.
        let shown = first(label, command.split('^').next().unwrap_or(command));
        // Slack shows `<!here>` and groups with `@`; only a date is plain text.
        let is_group = !command.starts_with("date^") && !shown.starts_with('@');
        return if is_group { format!("@{shown}") } else { shown.to_owned() };
    }
    if label.is_empty() { plain(target) } else { link(label, target) }
}

fn plain(url: &str) -> String {
    let address = strip_scheme(url, "mailto:").or_else(|| strip_scheme(url, "tel:"));
    address.unwrap_or(url).to_owned()
}

fn first<'t>(text: &'t str, otherwise: &'t str) -> &'t str {
    if text.is_empty() { otherwise } else { text }
}

fn unescape(text: &str) -> String {
    if !text.contains('&') {
        return text.to_owned();
    }
    // `&amp;` last: `&amp;lt;` is the text `&lt;` and not `<`.
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mentions_channels_and_links_are_readable() {
        check("<@U1|ann> in <#C1|general>", "@ann in #general");
        check("<@U1> <#C1> <!here> <!channel>", "@U1 #C1 @here @channel");
        check("<!subteam^S1|@team> <!subteam^S1>", "@team @subteam");
        check("<!date^1392734382^{date}|Feb 18>", "Feb 18");
        check("see <https://x.io/a|the docs>", "see the docs (https://x.io/a)");
        check("<https://x.io|x.io> <https://x.io/b>", "x.io https://x.io/b");
        check("<MAILTO:a@b.io|a@b.io> <Mailto:a@b.io>", "a@b.io a@b.io");
        check("<mailto:a@b.io|a@b.io> <mailto:a@b.io|Ann>", "a@b.io Ann (a@b.io)");
    }

    #[test]
    fn text_without_marks_is_unchanged() {
        check("*bold* _it_ `code`", "*bold* _it_ `code`");
        check("1 &lt; 2 &amp;&amp; 3 &gt; 2", "1 < 2 && 3 > 2");
        check("&amp;lt;", "&lt;");
        check("a < b and <<https://x.io>", "a < b and <https://x.io");
        check("", "");
    }

    #[test]
    fn many_open_marks_take_linear_time() {
        let shown = slack_to_text(&"<".repeat(1_000_000));

        assert_eq!(shown.chars().count(), 64 * 1024 + 1);
        assert!(shown.ends_with('…'));
    }

    fn check(marked: &str, expected: &str) {
        assert_eq!(slack_to_text(marked), expected);
    }
}

//! HTML as plain text, read token by token without building a tree.

use std::convert::Infallible;

use html5gum::emitters::callback::{CallbackEmitter, CallbackEvent};
use html5gum::{Span, Tokenizer};

use super::text::{capped, link, without_scheme};

/// Longer link targets and alternative texts are left out.
const URL_BYTES_MAX: usize = 2048;

/// Renders HTML as text: blocks become lines, list items begin with `- `, links are `text (url)`,
/// white space is collapsed.
pub(crate) fn html_to_text(html: &str) -> String {
    let (html, ending) = capped(html);
    let mut rendered = HtmlText::default();
    let mut emitter =
        CallbackEmitter::new(|event: CallbackEvent<'_>, _: Span<()>| -> Option<Infallible> {
            rendered.read(&event);
            None
        });
    // There is no tree builder to tell the tokenizer that the content of `script`, `style` or
    // `textarea` is not markup.
    emitter.naively_switch_states(true);
    let finished = Tokenizer::new_with_emitter(html, emitter).finish();
    finished.expect("reading a text cannot fail");
    rendered.end_link();
    let mut text = rendered.text.trim().to_owned();
    text.push_str(ending);
    text
}

/// Text so far, and the open elements that decide how it continues.
#[derive(Default)]
struct HtmlText {
    text: String,
    /// Line ends to write before the next word.
    breaks: usize,
    space: bool,
    bullet: bool,
    preformatted: usize,
    lists: usize,
    /// The open element whose content is hidden.
    hidden: Option<Vec<u8>>,
    link: Option<OpenLink>,
    tag: Vec<u8>,
    attribute: Vec<u8>,
    /// `href` or `alt` of the tag that is being read.
    target: String,
}

struct OpenLink {
    url: String,
    /// Byte of the rendered text at which the link's text begins.
    start: usize,
}

impl HtmlText {
    fn read(&mut self, event: &CallbackEvent<'_>) {
        match event {
            CallbackEvent::OpenStartTag { name } => {
                self.tag = name.to_vec();
                self.target.clear();
            }
            CallbackEvent::AttributeName { name } => self.attribute = name.to_vec(),
            CallbackEvent::AttributeValue { value } => self.attribute_value(value),
            CallbackEvent::CloseStartTag { .. } => self.start(),
            CallbackEvent::EndTag { name } => self.end(name),
            CallbackEvent::String { value } => self.string(&String::from_utf8_lossy(value)),
            CallbackEvent::Comment { .. }
            | CallbackEvent::Doctype { .. }
            | CallbackEvent::Error(_) => {}
        }
    }

    fn attribute_value(&mut self, value: &[u8]) {
        let is_target = match self.tag.as_slice() {
            b"a" => self.attribute == b"href",
            b"img" => self.attribute == b"alt",
            _ => false,
        };
        if is_target && value.len() <= URL_BYTES_MAX {
            String::from_utf8_lossy(value).trim().clone_into(&mut self.target);
        }
    }

    fn start(&mut self) {
        let tag = std::mem::take(&mut self.tag);
        // HTML permits a head without an end tag: it ends at the first visible element.
        if self.hidden.as_deref() == Some(b"head") && !belongs_in_head(&tag) {
            self.hidden = None;
        }
        if self.hidden.is_some() {
            return;
        }
        match tag.as_slice() {
            b"script" | b"style" | b"head" | b"title" | b"template" => self.hidden = Some(tag),
            // At most one empty line, however many `<br>` follow each other.
            b"br" => self.breaks = (self.breaks + 1).min(2),
            b"pre" | b"listing" | b"xmp" => {
                self.break_lines(2);
                self.preformatted += 1;
            }
            b"ul" | b"ol" | b"menu" | b"dir" => {
                self.break_lines(1);
                self.lists += 1;
            }
            b"li" => {
                self.break_lines(1);
                self.bullet = true;
            }
            b"a" => self.start_link(),
            b"img" => {
                let alternative = std::mem::take(&mut self.target);
                self.string(&alternative);
            }
            b"td" | b"th" => self.space = true,
            other => self.break_lines(lines_around(other)),
        }
    }

    fn end(&mut self, tag: &[u8]) {
        if let Some(hidden) = &self.hidden {
            // Any other end tag is part of the hidden content.
            if hidden == tag {
                self.hidden = None;
            }
            return;
        }
        match tag {
            b"a" => self.end_link(),
            b"pre" | b"listing" | b"xmp" => {
                self.preformatted = self.preformatted.saturating_sub(1);
                self.break_lines(2);
            }
            b"ul" | b"ol" | b"menu" | b"dir" => {
                self.lists = self.lists.saturating_sub(1);
                self.break_lines(1);
            }
            b"li" => {
                // An empty item leaves no bullet before the next text.
                self.bullet = false;
                self.break_lines(1);
            }
            other => self.break_lines(lines_around(other)),
        }
    }

    fn start_link(&mut self) {
        // Links do not nest: in HTML a second `<a>` closes the first.
        self.end_link();
        let url = std::mem::take(&mut self.target);
        // `javascript:` and addresses within the page are of no use outside of it.
        if without_scheme(&url).is_some() {
            self.link = Some(OpenLink { url, start: self.text.len() });
        }
    }

    fn end_link(&mut self) {
        let Some(OpenLink { url, start }) = self.link.take() else {
            return;
        };
        // The white space due before the first word was written behind `start`.
        let written = self.text[start..].trim_start();
        let linked = link(written, &url);
        // Around an image without `alt`, the address is all there is to show.
        if written.is_empty() {
            self.words(&linked);
        } else {
            self.text.truncate(self.text.len() - written.len());
            self.text.push_str(&linked);
        }
    }

    fn string(&mut self, string: &str) {
        if self.hidden.is_some() {
            return;
        }
        if self.preformatted > 0 {
            self.write_separator();
            self.text.push_str(&string.replace("\r\n", "\n"));
            return;
        }
        self.space |= string.starts_with(char::is_whitespace);
        self.words(string);
        self.space |= string.ends_with(char::is_whitespace);
    }

    fn words(&mut self, string: &str) {
        for (position, word) in string.split_whitespace().enumerate() {
            self.space |= position > 0;
            self.write_separator();
            self.text.push_str(word);
        }
    }

    /// Writes the line ends, space or bullet that are due before the next word.
    fn write_separator(&mut self) {
        if !self.text.is_empty() && self.breaks > 0 {
            self.text.push_str(&"\n".repeat(self.breaks));
        } else if self.space && !self.text.is_empty() {
            self.text.push(' ');
        }
        if self.bullet {
            self.text.push_str("- ");
        }
        self.breaks = 0;
        self.space = false;
        self.bullet = false;
    }

    fn break_lines(&mut self, lines: usize) {
        // Editors write `<li><p>…</p></li>`: a paragraph in a list makes no empty line.
        let lines = if self.lists > 0 { lines.min(1) } else { lines };
        self.breaks = self.breaks.max(lines);
    }
}

fn belongs_in_head(tag: &[u8]) -> bool {
    matches!(
        tag,
        b"head" | b"title" | b"meta" | b"link" | b"base" | b"script" | b"style" | b"noscript"
    )
}

/// Returns the line ends before and after an element; its callers handle lists and preformatted
/// text.
fn lines_around(tag: &[u8]) -> usize {
    // All elements that the HTML standard's section on rendering displays as blocks.
    match tag {
        b"p" | b"h1" | b"h2" | b"h3" | b"h4" | b"h5" | b"h6" | b"blockquote" | b"table" => 2,
        b"address" | b"article" | b"aside" | b"body" | b"caption" | b"center" | b"dd"
        | b"details" | b"dialog" | b"div" | b"dl" | b"dt" | b"fieldset" | b"figcaption"
        | b"figure" | b"footer" | b"form" | b"frameset" | b"header" | b"hgroup" | b"hr"
        | b"html" | b"legend" | b"main" | b"nav" | b"optgroup" | b"option" | b"plaintext"
        | b"search" | b"section" | b"select" | b"summary" | b"tbody" | b"tfoot" | b"thead"
        | b"tr" => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn blocks_become_lines() {
        check("<p>One</p><p>Two</p>", "One\n\nTwo");
        check("<div>a</div><div>b</div>", "a\nb");
        check("<div>a</div><div><br></div><div>b</div>", "a\n\nb");
        check("a<br>b<br/><br><br><br>c", "a\nb\n\nc");
        check("<h1>Title</h1>text", "Title\n\ntext");
        check("<ul><li>one</li><li><p>two</p></li><li></li></ul>x", "- one\n- two\nx");
        check("<table><tr><td>a<td>b</tr><tr><td>c</table>", "a b\nc");
    }

    /// All elements that HTML's rendering rules display as blocks, including obsolete ones.
    const BLOCKS: &str = "address article aside blockquote body center dd details dialog dir div dl dt \
        fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 header hgroup html legend li listing main \
        menu nav ol optgroup option p pre search section summary table tbody tfoot thead tr ul xmp";

    #[test]
    fn block_element_is_on_lines_of_its_own() {
        for tag in BLOCKS.split_whitespace() {
            for tag in [tag.to_owned(), tag.to_uppercase()] {
                let text = html_to_text(&format!("a<{tag}>b</{tag}>c<{tag}>d</{tag}>"));
                let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
                let lines: Vec<&str> = lines.iter().map(|it| it.trim_start_matches("- ")).collect();
                assert_eq!(lines, ["a", "b", "c", "d"], "{tag}: {text:?}");
            }
        }
        check("a<hr>b<plaintext>c", "a\nb\nc");
        check("<table><caption>a</caption><tr><td>b</table>", "a\nb");
    }

    #[test]
    fn inline_element_breaks_no_line() {
        let inline = "abbr acronym b bdi bdo big button cite code data del dfn em font i ins kbd label mark \
            meter nobr output q rp rt ruby s samp small span strike strong sub sup time tt u var";
        for tag in inline.split_whitespace() {
            check(&format!("a<{tag}>b</{tag}>c"), "abc");
        }
    }

    #[test]
    fn white_space_is_collapsed_except_in_pre() {
        check(" a \n\t b&nbsp; <b> c</b>d ", "a b cd");
        check("a <i>b</i> <i>c</i>", "a b c");
        check("x<pre>a\r\n  b</pre>y", "x\n\na\n  b\n\ny");
    }

    #[test]
    fn link_shows_its_target() {
        check("<a href='https://x.io/a'>here</a>.", "here (https://x.io/a).");
        check("<a href='https://x.io/'>x.io</a>", "x.io");
        check("<a href='mailto:a@b.io'>a@b.io</a>", "a@b.io");
        check("go <a href=https://x.io><img src=y></a> now", "go x.io now");
        check("<a href='javascript:alert(1)'>x</a> <a href='#top'>y</a>", "x y");
        check("<a href='https://x.io/a'>open", "open (https://x.io/a)");
        check("<a href='HTTPS://X.io/a'>here</a>", "here (HTTPS://X.io/a)");
        check("<a href='Http://x.io/'>x.io</a> <A HREF='HTTPS://x.io'></A>", "x.io x.io");
        check("<a href='MAILTO:a@b.io'>Ann</a> <a href='Tel:1'>1</a>", "Ann (a@b.io) 1");
        check("<a href='JavaScript:x()'>x</a> <a href='ftp://x'>y</a>", "x y");
    }

    #[test]
    fn hidden_content_is_left_out() {
        check("<style>p{}</style><script>if (a<b) x()</script>seen", "seen");
        check("<head><title>T</title><meta></head><body>seen", "seen");
        check("<head><title>T</title><p>seen", "seen");
        check("<!-- no --><!doctype html>&lt;b&gt; &amp; &eacute; &#128512;", "<b> & é 😀");
        check("<img src=x alt='A cat'> sat", "A cat sat");
    }

    #[test]
    fn hostile_html_is_converted_in_linear_time() {
        let floods = ["<div>", "</", "<a <b", "<b>", "<ul><li>", "&", "<!--", "<a href=https://x>"];
        let begun = Instant::now();
        for flood in floods {
            html_to_text(&flood.repeat(1_000_000 / flood.len()));
        }
        let many: Vec<String> = (0..20_000).map(|n| format!("a{n}=1")).collect();
        html_to_text(&format!("<p {}>", many.join(" ")));

        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }

    #[test]
    fn long_html_is_truncated() {
        let shown = html_to_text(&"é ".repeat(100_000));

        assert!(shown.len() <= 64 * 1024 + 3);
        assert!(shown.ends_with("é …") || shown.ends_with("é…"));
    }

    proptest! {
        #[test]
        fn any_input_gives_a_trimmed_text(html in "(<|>|/|a|p|br|li|pre|script|head|=|'| |&|;|é|href|\n){0,60}") {
            let text = html_to_text(&html);
            prop_assert_eq!(text.trim(), text.as_str());
        }
    }

    fn check(html: &str, expected: &str) {
        assert_eq!(html_to_text(html), expected, "{html}");
    }
}

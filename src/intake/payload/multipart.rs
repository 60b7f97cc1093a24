//! `multipart/form-data` (RFC 7578): fields become strings; of a file only its name, type and size remain.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use super::charset::of_label;
use super::error::{DecodeError, malformed};
use super::fields::{RawContent, RawField};
use super::parameter::parameter;
use super::transfer::TransferEncoding;

const PARTS_MAX: usize = 1_000;

/// Bytes of all headers of one part.
const HEADER_BYTES_MAX: usize = 8 * 1024;

/// RFC 2046, 5.1.1 allows 70; longer ones are accepted up to this length.
const BOUNDARY_BYTES_MAX: usize = 200;

pub(super) fn fields<'b>(
    content_type: &str,
    body: &'b [u8],
) -> Result<Vec<RawField<'b>>, DecodeError> {
    let boundary = parameter(content_type, "boundary").unwrap_or_default();
    if boundary.is_empty() || boundary.len() > BOUNDARY_BYTES_MAX {
        return Err(malformed("the content type names no usable boundary"));
    }
    // By hand, on slices of the body: `FormField` needs the range of each value, to redact it.
    // multer, which axum uses, copies each part, and is async.
    let delimiter = format!("--{boundary}");
    let mut fields = Vec::new();
    let mut next = Delimiter::find(body, 0, delimiter.as_bytes());
    while let Some(opening) = next.filter(|found| !found.is_last) {
        if fields.len() == PARTS_MAX {
            return Err(malformed(format!("the form has more than {PARTS_MAX} parts")));
        }
        let number = fields.len() + 1;
        let head = Head::read(&body[opening.end..], number)?;
        let start = opening.end + head.length;
        // From the line end before the content, since an empty content may have none of its own.
        let closing = Delimiter::find(body, start - 1, delimiter.as_bytes())
            .ok_or_else(|| malformed(format!("part {number} does not end")))?;
        fields.push(head.field(&body[start..closing.start.max(start)]));
        next = Some(closing);
    }
    if next.is_none() {
        return Err(malformed("the boundary that the content type names is not in the body"));
    }
    Ok(fields)
}

/// Returns the body with one more field at the end; none if the closing delimiter is missing.
pub(super) fn with_field(
    content_type: &str,
    body: &[u8],
    (name, value): (&str, &str),
) -> Option<Vec<u8>> {
    let delimiter = format!("--{}", parameter(content_type, "boundary")?);
    let mut last = Delimiter::find(body, 0, delimiter.as_bytes())?;
    while !last.is_last {
        last = Delimiter::find(body, last.end - 1, delimiter.as_bytes())?;
    }
    // As browsers escape it (WHATWG HTML, multipart/form-data encoding).
    let name = name.replace('"', "%22");
    let own = format!(
        "{delimiter}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
    );
    Some([&body[..last.line], own.as_bytes(), &body[last.line..]].concat())
}

/// A line that separates two parts.
#[derive(Debug, Clone, Copy)]
struct Delimiter {
    /// End of the content before it. The line end before the delimiter belongs to the delimiter (RFC 2046, 5.1.1).
    start: usize,
    /// Begin of its own line.
    line: usize,
    end: usize,
    is_last: bool,
}

impl Delimiter {
    /// Finds the first delimiter from `at` on, which is the start of the body or a line end.
    fn find(body: &[u8], at: usize, delimiter: &[u8]) -> Option<Delimiter> {
        let mut line = if at == 0 { 0 } else { line_after(body, at)? };
        loop {
            if let Some((length, is_last)) = rest_of_line(&body[line..], delimiter) {
                let before = &body[..line];
                let before = before.strip_suffix(b"\n").unwrap_or(before);
                let start = before.strip_suffix(b"\r").unwrap_or(before).len();
                return Some(Delimiter { start, line, end: line + length, is_last });
            }
            line = line_after(body, line)?;
        }
    }
}

fn line_after(body: &[u8], at: usize) -> Option<usize> {
    body.get(at..)?.iter().position(|byte| *byte == b'\n').map(|found| at + found + 1)
}

/// Returns the end of a header, which continues on lines that begin with white space (RFC 5322, 2.2.3).
fn header_end(part: &[u8], at: usize) -> Option<usize> {
    let is_blank = |line: &[u8]| line.trim_ascii().is_empty();
    let mut end = line_after(part, at)?;
    while !is_blank(&part[at..end])
        && end <= HEADER_BYTES_MAX
        && matches!(part.get(end), Some(b' ' | b'\t'))
    {
        let next = line_after(part, end)?;
        if is_blank(&part[end..next]) {
            break;
        }
        end = next;
    }
    Some(end)
}

/// Returns the length of a delimiter's line, and whether it is the closing one; none for other lines.
fn rest_of_line(line: &[u8], delimiter: &[u8]) -> Option<(usize, bool)> {
    let rest = line.strip_prefix(delimiter)?;
    if rest.starts_with(b"--") {
        return Some((line.len(), true));
    }
    let space = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let line_end = match &rest[space..] {
        [b'\r', b'\n', ..] => 2,
        [b'\n', ..] => 1,
        _ => return None,
    };
    Some((delimiter.len() + space + line_end, false))
}

/// The headers of a part.
// Their character set may be known only from a later part, so each byte is one character here
// (Latin-1).
#[derive(Debug)]
struct Head {
    name: String,
    /// Present if the part is a file.
    filename: Option<Filename>,
    content_type: Option<String>,
    encoding: TransferEncoding,
    length: usize,
}

#[derive(Debug)]
struct Filename {
    bytes: Vec<u8>,
    /// Character set that `filename*` names.
    charset: Option<String>,
}

impl Head {
    fn read(part: &[u8], number: usize) -> Result<Head, DecodeError> {
        let mut head = Head {
            name: String::new(),
            filename: None,
            content_type: None,
            encoding: TransferEncoding::Identity,
            length: 0,
        };
        let mut has_name = false;
        loop {
            let line = header_end(part, head.length).filter(|end| *end <= HEADER_BYTES_MAX);
            let Some(end) = line else {
                return Err(malformed(format!("the headers of part {number} do not end")));
            };
            let line: String = part[head.length..end].iter().copied().map(char::from).collect();
            let line = line.replace(['\r', '\n'], "");
            head.length = end;
            if line.trim_ascii().is_empty() {
                break;
            }
            let Some((name, value)) = line.split_once(':') else {
                continue;
            };
            if name.eq_ignore_ascii_case("content-type") {
                head.content_type = Some(value.trim_ascii().to_owned());
            }
            if name.eq_ignore_ascii_case("content-transfer-encoding") {
                head.encoding = TransferEncoding::named(value);
            }
            if name.eq_ignore_ascii_case("content-disposition") {
                has_name = head.dispose(value);
            }
        }
        if !has_name {
            return Err(malformed(format!("part {number} has no name")));
        }
        Ok(head)
    }

    /// Reads the content disposition, and returns whether it has a name.
    fn dispose(&mut self, disposition: &str) -> bool {
        let plain = parameter(disposition, "filename");
        let plain = plain.map(|name| Filename { bytes: bytes(&name), charset: None });
        let extended =
            || parameter(disposition, "filename*").map(|value| Filename::extended(&value));
        self.filename = plain.or_else(extended);
        let name = parameter(disposition, "name");
        let has_name = name.is_some();
        self.name = name.unwrap_or_default();
        has_name
    }

    fn field(self, content: &[u8]) -> RawField<'_> {
        let encoding = self.encoding;
        let content = match self.filename {
            None => {
                let label = self.content_type.and_then(|it| parameter(&it, "charset"));
                let charset = label.and_then(|label| of_label(&label));
                RawContent::Text { bytes: Cow::Borrowed(content), charset, encoding }
            }
            Some(Filename { bytes: name, charset }) => RawContent::File {
                name,
                charset: charset.and_then(|label| of_label(&label)),
                content_type: bytes(self.content_type.as_deref().unwrap_or("text/plain")),
                content,
                encoding,
            },
        };
        RawField { name: Cow::Owned(bytes(&self.name)), content }
    }
}

impl Filename {
    /// Reads the extended form, such as `UTF-8'en'%c3%a9.txt` (RFC 8187).
    fn extended(value: &str) -> Filename {
        let mut parts = value.splitn(3, '\'');
        let (first, name) = (parts.next(), parts.nth(1));
        let charset = first.filter(|_| name.is_some()).map(str::to_owned);
        let name = bytes(name.unwrap_or(value));
        Filename { bytes: percent_decode(&name).collect(), charset }
    }
}

/// Returns the bytes of a header's text.
fn bytes(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(c).unwrap_or(b'?')).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::intake::payload::charset::TextReader;
    use crate::intake::payload::fields::{Declared, read};

    const TYPE: &str = "multipart/form-data; boundary=\"x y\"";

    fn texts(content_type: &str, body: &[u8]) -> Result<Vec<(String, Value)>, DecodeError> {
        let declared = Declared { of_request: None, charsets_field: None };
        Ok(read(fields(content_type, body)?, declared, &mut TextReader::default()))
    }

    #[track_caller]
    fn check(body: &str, expected: Result<Value, &str>) {
        let body = body.replace('\n', "\r\n");
        let fields = texts(TYPE, body.as_bytes());
        let found = fields.map(|fields| json!(fields)).map_err(|error| error.to_string());
        assert_eq!(found, expected.map_err(str::to_owned), "{body}");
    }

    fn part(parameters: &str, rest: &str) -> String {
        format!("--x y\nContent-Disposition: form-data; {parameters}\n{rest}\n")
    }

    #[test]
    fn fields_are_strings() {
        let body = part("name=\"a\"", "\n1\n2") + &part("name=b", "X: y\n\n") + "--x y--\nafter";
        check(&body, Ok(json!([["a", "1\r\n2"], ["b", ""]])));
        check(&format!("before\n{body}"), Ok(json!([["a", "1\r\n2"], ["b", ""]])));
        check("--x y--", Ok(json!([])));
    }

    #[test]
    fn bare_line_feed_is_accepted() {
        let body = (part("name=a", "\n1") + "--x y--").into_bytes();

        assert_eq!(texts(TYPE, &body).unwrap(), [("a".to_owned(), json!("1"))]);
    }

    #[test]
    fn empty_field_ends_after_its_headers() {
        check("--x y\ncontent-disposition: form-data; name=a\n\n--x y--", Ok(json!([["a", ""]])));
    }

    #[test]
    fn folded_headers_of_a_part_are_read() {
        for fold in ["\n ", "\n\t", "\n  \t"] {
            let parameters = format!("{fold}name=\"a\";{fold}filename{fold}=x.txt");
            let body = part(&parameters, &format!("Content-Type:{fold}text/x\n\n 1\n")) + "--x y--";
            let file = json!({ "name": "x.txt", "type": "text/x", "size": 4 });
            check(&body, Ok(json!([["a", file]])));
        }
        check(&(part("name=a", "\n 1\n 2") + "--x y--"), Ok(json!([["a", " 1\r\n 2"]])));
        let endless = part("name=a", &format!("X: y{}", "\n y".repeat(8_200)));
        check(&endless, Err("the headers of part 1 do not end"));
    }

    #[test]
    fn file_is_its_name_type_and_size() {
        let file = part("name=f; filename=\"a%22;b.png\"", "Content-Type: image/png\n\n\u{1}23");
        let bare = part("filename*=utf-8''%c3%a9.txt; name=g", "\nxy");
        let expected = json!([
            ["f", { "name": "a\";b.png", "type": "image/png", "size": 3 }],
            ["g", { "name": "é.txt", "type": "text/plain", "size": 2 }],
        ]);
        check(&(file + &bare + "--x y--"), Ok(expected));
    }

    #[test]
    fn line_that_begins_like_a_boundary_is_content() {
        let body = part("name=a", "\n--x yz\n--x y z\n --x y") + "--x y \t\nX: y\n\n";
        let body = body.replace("X: y", "Content-Disposition: form-data; name=\"\"") + "1\n--x y--";
        check(&body, Ok(json!([["a", "--x yz\r\n--x y z\r\n --x y"], ["", "1"]])));
    }

    #[test]
    fn invalid_form_is_refused_with_the_part() {
        check("", Err("the boundary that the content type names is not in the body"));
        check(&part("name=a", "\n1"), Err("part 1 does not end"));
        check("--x y\nX: y\n\n1\n--x y--", Err("part 1 has no name"));
        check("--x y\nX: y", Err("the headers of part 1 do not end"));
        let long = format!("X: {}\n\n1\n--x y--", "y".repeat(8_200));
        check(&part("name=a", &long), Err("the headers of part 1 do not end"));
        let many = part("name=a", "\n1").repeat(1_001) + "--x y--";
        check(&many, Err("the form has more than 1000 parts"));
        let reason = Err(malformed("the content type names no usable boundary"));
        assert_eq!(texts("multipart/form-data", b""), reason);
    }
}

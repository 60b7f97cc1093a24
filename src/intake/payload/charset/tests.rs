//! A table of labels, bytes and their text, tried in every place in which a character set is declared.

use serde_json::{Value, json};

use crate::intake::payload::*;

const LIMITS: PayloadLimits = PayloadLimits {
    bytes_max: 10_000,
    depth_max: 8,
    key_bytes_max: 100,
    parsed_bytes_max: 1 << 20,
};

/// Every label that the WHATWG's standard has for encodings of Latin scripts, with bytes that differ between
/// these encodings.
const LATIN: [(&str, &[u8], &str); 15] = [
    (
        "unicode-1-1-utf-8 unicode11utf8 unicode20utf8 utf-8 utf8 x-unicode20utf8",
        b"Gr\xc3\xb6\xc3\x9fe",
        "Größe",
    ),
    (
        "ansi_x3.4-1968 ascii cp1252 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100 iso8859-1 iso88591 \
         iso_8859-1 iso_8859-1:1987 l1 latin1 us-ascii windows-1252 x-cp1252",
        b"Gr\xf6\xdfe \x80 \xd0\xfe\xa4",
        "Größe € Ðþ¤",
    ),
    (
        "csisolatin2 iso-8859-2 iso-ir-101 iso8859-2 iso88592 iso_8859-2 iso_8859-2:1987 l2 latin2",
        b"\xa3\xf3d\xbc \xa9\xb1",
        "Łódź Šą",
    ),
    (
        "csisolatin3 iso-8859-3 iso-ir-109 iso8859-3 iso88593 iso_8859-3 iso_8859-3:1988 l3 latin3",
        b"\xd8is \xfd\xfe",
        "Ĝis ŭŝ",
    ),
    (
        "csisolatin4 iso-8859-4 iso-ir-110 iso8859-4 iso88594 iso_8859-4 iso_8859-4:1988 l4 latin4",
        b"\xc0\xbe \xa9",
        "Āž Š",
    ),
    ("csisolatin6 iso-8859-10 iso-ir-157 iso8859-10 iso885910 l6 latin6", b"\xaa\xba \xd0", "Šš Ð"),
    ("iso-8859-13 iso8859-13 iso885913", b"\xd0\xe0\xfb \xa1", "Šąū ”"),
    ("iso-8859-14 iso8859-14 iso885914", b"\xd0\xfe \xa1", "Ŵŷ Ḃ"),
    (
        "csisolatin9 iso-8859-15 iso8859-15 iso885915 iso_8859-15 l9",
        b"5 \xa4 \xa6\xa8\xbc\xbd\xbe",
        "5 € ŠšŒœŸ",
    ),
    ("iso-8859-16", b"\xaa\xba\xde\xfe \xa4", "ȘșȚț €"),
    ("csmacintosh mac macintosh x-mac-roman", b"Gr\x9a\xa7e \xdb", "Größe €"),
    ("cp1250 windows-1250 x-cp1250", b"\xa3\xf3d\x9f \x8a \x80", "Łódź Š €"),
    (
        "cp1254 csisolatin5 iso-8859-9 iso-ir-148 iso8859-9 iso88599 iso_8859-9 iso_8859-9:1989 l5 latin5 \
         windows-1254 x-cp1254",
        b"\xd0\xf0\xdd\xfd\xfe \x80",
        "Ğğİış €",
    ),
    ("cp1257 windows-1257 x-cp1257", b"\xd0\xe0\xfb \xb4 \x80", "Šąū ´ €"),
    ("cp1258 windows-1258 x-cp1258", b"Vi\xea\xf2t \xd0 \xfe", "Viê\u{323}t Đ ₫"),
];

/// Labels of other scripts, one of each kind: a byte, several, with states, and of two bytes.
const OTHERS: [(&str, &[u8], &str); 6] = [
    ("KOI8-R", b"\xf0\xd2\xc9\xd7\xc5\xd4", "Привет"),
    ("windows-1251", b"\xcf\xf0\xe8\xe2\xe5\xf2", "Привет"),
    ("Shift_JIS", b"\x93\xfa\x96{\x8c\xea", "日本語"),
    ("gb2312", b"\xc4\xe3\xba\xc3", "你好"),
    ("ISO-2022-JP", b"\x1b$BF|K\\8l\x1b(B", "日本語"),
    ("utf-16", b"G\0r\0\xf6\0", "Grö"),
];

/// Each label alone, as it is, in capitals and with spaces around it.
fn labels() -> impl Iterator<Item = (String, &'static [u8], &'static str)> {
    LATIN.iter().chain(&OTHERS).flat_map(|(labels, bytes, text)| {
        let spellings =
            |label: &str| [label.to_owned(), label.to_uppercase(), format!(" {label} ")];
        labels.split_whitespace().flat_map(spellings).map(|label| (label, *bytes, *text))
    })
}

fn read(packing: &BodyConfig, content_type: &str, body: &[u8]) -> (Value, Vec<String>) {
    let headers = Headers::from([("content-type".to_owned(), content_type.to_owned())]);
    let Decoded { text, notes } = decode(packing, &headers, body, &LIMITS).unwrap();
    (parse(&text).unwrap(), notes)
}

#[track_caller]
fn check(content_type: &str, body: &[u8], expected: &Value, notes: &[&str]) {
    let found = read(&packing(), content_type, body);
    let shown = String::from_utf8_lossy(body);
    assert_eq!(&found.0, expected, "{content_type}: {shown}");
    assert_eq!(found.1, notes, "{content_type}: {shown}");
}

fn packing() -> BodyConfig {
    BodyConfig { charsets: Some("charsets".to_owned()), ..BodyConfig::default() }
}

fn xml() -> BodyConfig {
    BodyConfig { format: Some(BodyFormat::Xml), ..BodyConfig::default() }
}

fn percent(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("%{byte:02X}"))
}

const FORM: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data; boundary=b";

fn part(name: &str, headers: &str, content: &[u8]) -> Vec<u8> {
    let head = format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n{headers}\r\n");
    [head.as_bytes(), content, b"\r\n"].concat()
}

fn multipart(parts: &[Vec<u8>]) -> Vec<u8> {
    [parts.concat().as_slice(), b"--b--"].concat()
}

#[test]
fn fields_have_the_charset_of_the_request() {
    for (label, bytes, text) in labels() {
        let expected = json!({ "a": text });
        let form = format!("a={}", percent(bytes));
        check(&format!("{FORM}; charset=\"{label}\""), form.as_bytes(), &expected, &[]);
        let body = multipart(&[part("a", "", bytes)]);
        check(&format!("{MULTIPART}; charset=\"{label}\""), &body, &expected, &[]);
    }
}

#[test]
fn charset_of_a_part_overrides_that_of_the_request() {
    for (label, bytes, text) in labels() {
        let head = format!("Content-Type: text/plain; charset=\"{label}\"\r\n");
        let body = multipart(&[part("a", &head, bytes), part("b", "", b"\xd7\xda")]);
        let expected = json!({ "a": text, "b": "вз" });
        check(&format!("{MULTIPART}; charset=koi8-u"), &body, &expected, &[]);
    }
}

#[test]
fn charsets_field_names_the_charsets_of_others() {
    for (label, bytes, text) in labels() {
        let charsets = json!({ "a": label, "c": "UTF-8" }).to_string();
        let parts = [part("a", "", bytes), part("charsets", "", charsets.as_bytes())];
        let (value, notes) = read(&packing(), MULTIPART, &multipart(&parts));
        assert_eq!((&value["a"], notes), (&json!(text), Vec::new()), "{label}");
        let form = format!("charsets={}&a={}", percent(charsets.as_bytes()), percent(bytes));
        let (value, notes) = read(&packing(), FORM, form.as_bytes());
        assert_eq!((&value["a"], notes), (&json!(text), Vec::new()), "{label}");
    }
}

#[test]
fn hidden_charset_field_names_the_charset() {
    for (label, bytes, text) in labels() {
        let expected = json!({ "a": text, "_charset_": label });
        let form = format!("a={}&_charset_={}", percent(bytes), percent(label.as_bytes()));
        check(FORM, form.as_bytes(), &expected, &[]);
        let body = multipart(&[part("a", "", bytes), part("_charset_", "", label.as_bytes())]);
        check(MULTIPART, &body, &expected, &[]);
    }
}

#[test]
fn xml_has_the_charset_that_it_declares() {
    for (label, bytes, text) in labels().filter(|(label, ..)| !label.contains(' ')) {
        let expected = json!({ "a": text });
        let by_header = [b"<a>", bytes, b"</a>"].concat();
        let is_of_two_bytes = label.eq_ignore_ascii_case("utf-16");
        if !is_of_two_bytes {
            let head = format!("<?xml version='1.0' encoding='{label}'?>");
            let body = [head.as_bytes(), &by_header].concat();
            assert_eq!(read(&xml(), "text/xml", &body), (expected.clone(), vec![]), "{label}");
            // The request's own word is before that of the document.
            let head = "<?xml version=\"1.0\" encoding=\"koi8-u\" ?>";
            let body = [head.as_bytes(), &by_header].concat();
            let content_type = format!("text/xml; charset={label}");
            assert_eq!(read(&xml(), &content_type, &body), (expected, vec![]), "{label}");
        }
    }
}

#[test]
fn utf16_xml_is_read() {
    let text = "<?xml version=\"1.0\" encoding=\"UTF-16\"?><a>Größe 日本</a>";
    let expected = json!({ "a": "Größe 日本" });
    let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    for body in [
        [b"\xff\xfe", little.as_slice()].concat(),
        [b"\xfe\xff", big.as_slice()].concat(),
        little,
        big,
    ] {
        assert_eq!(read(&xml(), "text/xml", &body), (expected.clone(), vec![]));
    }
    // Programs that write a document into a text and send that as UTF-8 declare the form of the
    // text.
    let note = "the XML is declared as UTF-16LE and is UTF-8: it is read as UTF-8".to_owned();
    assert_eq!(read(&xml(), "text/xml", text.as_bytes()), (expected, vec![note]));
}

#[test]
fn xml_that_is_not_utf8_is_read_by_its_own_declaration() {
    let latin = b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>Gr\xf6\xdfe</a>";
    let utf8 = "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>Größe</a>".as_bytes();
    let marked = [b"\xef\xbb\xbf", utf8].concat();
    let own = "the XML is not UTF-8, as which the request declares it: it is read as windows-1252, as it declares \
               itself";
    let not_own = "the XML is declared as windows-1252 and is UTF-8: it is read as UTF-8";
    let read_as_utf8 = "the XML is not UTF-8, as which it is declared: what cannot be read is �";
    for (content_type, body, expected, notes) in [
        ("text/xml", latin.as_slice(), "Größe", vec![]),
        ("text/xml; charset=utf-8", latin, "Größe", vec![own]),
        ("text/xml; charset=\"UTF-8\"", latin, "Größe", vec![own]),
        ("text/xml; charset=x-none", latin, "Größe", vec![]),
        ("text/xml; charset=koi8-r", latin, "GrЖъe", vec![]),
        ("text/xml; charset=utf-8", utf8, "Größe", vec![]),
        ("text/xml", utf8, "Größe", vec![not_own]),
        ("text/xml; charset=iso-8859-1", utf8, "Größe", vec![not_own]),
        ("text/xml; charset=iso-8859-1", marked.as_slice(), "Größe", vec![]),
        ("text/xml; charset=utf-8", b"<?xml version='1.0'?><a>\xf6</a>", "�", vec![read_as_utf8]),
        ("text/xml; charset=utf-8", b"<?xml encoding='utf8'?><a>\xf6</a>", "�", vec![read_as_utf8]),
    ] {
        let found = read(&xml(), content_type, body);
        let notes: Vec<String> = notes.into_iter().map(str::to_owned).collect();
        assert_eq!(found, (json!({ "a": expected }), notes), "{content_type}");
    }
}

#[test]
fn charset_in_single_quotes_is_known() {
    for (label, bytes, text) in labels() {
        let expected = json!({ "a": text });
        let form = format!("a={}", percent(bytes));
        check(&format!("{FORM}; charset='{label}'"), form.as_bytes(), &expected, &[]);
        let body = multipart(&[part("a", "", bytes)]);
        check(&format!("{MULTIPART}; charset='{label}'"), &body, &expected, &[]);
        let head = format!("Content-Type: text/plain; charset='{label}'\r\n");
        check(MULTIPART, &multipart(&[part("a", &head, bytes)]), &expected, &[]);
    }
    // A parameter without a value hides none behind it.
    check(&format!("{FORM}; x; charset=latin1"), b"a=%F6", &json!({ "a": "ö" }), &[]);
}

#[test]
fn transfer_encoding_of_a_part_is_decoded() {
    let latin = "Content-Type: text/plain; charset=iso-8859-1\r\n";
    for (encoding, charset, written, text) in [
        ("quoted-printable", "", "Gr=C3=B6=C3=9F=\r\ne =3d 1", "Größe = 1"),
        ("Quoted-Printable", latin, "Gr=F6=dfe", "Größe"),
        ("base64", "", "R3LDtsOf\r\nZQ==", "Größe"),
        (" BASE64 ", latin, "R3L232U", "Größe"),
        ("8bit", "", "Gr=C3", "Gr=C3"),
        ("binary", latin, "R3LDtsOf", "R3LDtsOf"),
    ] {
        let head = format!("{charset}Content-Transfer-Encoding:{encoding}\r\n");
        let body = multipart(&[part("a", &head, written.as_bytes())]);
        check(MULTIPART, &body, &json!({ "a": text }), &[]);
    }
    let charsets = part("charsets", "Content-Transfer-Encoding: base64\r\n", b"eyJhIjoibDEifQ==");
    let (value, notes) =
        read(&packing(), MULTIPART, &multipart(&[part("a", "", b"\xf6"), charsets]));
    assert_eq!((&value["a"], notes), (&json!("ö"), Vec::new()));
    let file = b"--b\r\nContent-Disposition: form-data; name=f; filename=x\r\n\
        Content-Transfer-Encoding: base64\r\n\r\nR3LD\r\ntsOf\r\n--b--";
    let expected = json!({ "f": { "name": "x", "type": "text/plain", "size": 6 } });
    check(MULTIPART, file, &expected, &[]);
}

#[test]
fn malformed_transfer_encoding_is_kept_with_a_note() {
    for (encoding, written, reason) in [
        ("quoted-printable", "1 = 2", "is not quoted-printable text"),
        ("base64", "Größe", "is no base64"),
        ("x-uuencode", "abc", "has a transfer encoding that is not known"),
    ] {
        let head = format!("Content-Transfer-Encoding: {encoding}\r\n");
        let body = multipart(&[part("a", &head, written.as_bytes())]);
        let note = format!("the field `a` {reason}: it is kept as it is");
        check(MULTIPART, &body, &json!({ "a": written }), &[&note]);
    }
}

#[test]
fn utf8_is_read_as_utf8_whatever_is_declared() {
    let note = "the field `a` is declared as windows-1252 and is UTF-8: it is read as UTF-8";
    let expected = json!({ "a": "Größe" });
    let form = format!("a={}", percent("Größe".as_bytes()));
    check(&format!("{FORM}; charset=iso-8859-1"), form.as_bytes(), &expected, &[note]);
    let head = "Content-Type: text/plain; charset=latin1\r\n";
    check(MULTIPART, &multipart(&[part("a", head, "Größe".as_bytes())]), &expected, &[note]);
    let xml_note = note.replace("the field `a`", "the XML");
    let body = "<?xml version='1.0' encoding='ISO-8859-1'?><a>Größe</a>".as_bytes();
    assert_eq!(read(&xml(), "text/xml", body), (expected, vec![xml_note]));
    // Nothing is lost where both readings are the same.
    check(&format!("{FORM}; charset=iso-8859-1"), b"a=plain", &json!({ "a": "plain" }), &[]);
    check(&format!("{FORM}; charset=utf-16"), b"a=plain", &json!({ "a": "plain" }), &[]);
}

#[test]
fn text_that_is_not_as_declared_is_noted() {
    let undeclared =
        "the field `a` is not UTF-8 and declares no known character set: what cannot be read is �";
    for content_type in [
        FORM.to_owned(),
        format!("{FORM}; charset=utf-7"),
        format!("{FORM}; charset=x-none"),
        format!("{FORM}; charset="),
        format!("{FORM}; charset=hz-gb-2312"),
    ] {
        check(&content_type, b"a=Gr%F6%DFe", &json!({ "a": "Gr��e" }), &[undeclared]);
        check(&content_type, b"a=Gr\xf6\xdfe", &json!({ "a": "Gr��e" }), &[undeclared]);
    }
    check(MULTIPART, &multipart(&[part("a", "", b"\xf6")]), &json!({ "a": "�" }), &[undeclared]);
    let wrong = "the field `a` is not UTF-8, as which it is declared: what cannot be read is �";
    check(&format!("{FORM}; charset=utf-8"), b"a=%F6", &json!({ "a": "�" }), &[wrong]);
    let wrong = wrong.replace("UTF-8", "Shift_JIS");
    check(&format!("{FORM}; charset=sjis"), b"a=%81", &json!({ "a": "�" }), &[&wrong]);
    let xml_note = undeclared.replace("the field `a`", "the XML");
    let noted = read(&xml(), "text/xml", b"<a>Gr\xf6</a>");
    assert_eq!(noted, (json!({ "a": "Gr�" }), vec![xml_note]));
}

#[test]
fn names_have_the_charset_of_their_request() {
    check(&format!("{FORM}; charset=latin1"), b"Gr%F6%DFe=1", &json!({ "Größe": "1" }), &[]);
    let head = b"--b\r\nContent-Disposition: form-data; name=\"Gr\xf6\xdfe\"\r\n\r\n1\r\n--b--";
    check(&format!("{MULTIPART}; charset=latin1"), head, &json!({ "Größe": "1" }), &[]);
    let utf8 = "--b\r\nContent-Disposition: form-data; name=à\r\n\r\n1\r\n--b--";
    check(MULTIPART, utf8.as_bytes(), &json!({ "à": "1" }), &[]);
    let file = |name: &str| {
        let head = "--b\r\nContent-Disposition: form-data; name=f; ";
        format!("{head}{name}\r\nContent-Type: text/x\r\n\r\n12\r\n--b--")
    };
    for (name, expected) in [
        ("filename*=iso-8859-1''Gr%F6%DFe+1.txt", "Größe+1.txt"),
        ("filename*=UTF-8'de'Gr%C3%B6%C3%9Fe.txt", "Größe.txt"),
        ("filename*=plain.txt", "plain.txt"),
        ("filename=\"Größe.txt\"", "Größe.txt"),
    ] {
        let expected = json!({ "f": { "name": expected, "type": "text/x", "size": 2 } });
        check(MULTIPART, file(name).as_bytes(), &expected, &[]);
    }
}

#[test]
fn json_is_utf8_whatever_is_declared() {
    let json = json!({ "a": "Größe" });
    let text = json.to_string();
    check("application/json; charset=iso-8859-1", text.as_bytes(), &json, &[]);
    check(&format!("{FORM}; charset=iso-8859-1"), text.as_bytes(), &json, &[]);
    let headers =
        |content_type: &str| Headers::from([("content-type".to_owned(), content_type.to_owned())]);
    for content_type in
        ["application/json; charset=iso-8859-1", "application/x-www-form-urlencoded"]
    {
        let refused = decode(&packing(), &headers(content_type), b"{\"a\":\"\xf6\"}", &LIMITS);
        assert_eq!(refused.map(drop), Err(malformed("not UTF-8 at byte 6")), "{content_type}");
    }
}

#[test]
fn notes_are_bounded() {
    let many = "a=%F6&".repeat(1_000);
    let (_, notes) = read(&packing(), FORM, many.as_bytes());
    assert_eq!(notes.len(), 21);
    assert_eq!(notes[20], "980 more texts were not as declared");
}

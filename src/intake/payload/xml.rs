//! XML: elements become objects by their names without prefixes, elements with only text become strings. No entities
//! are expanded.

use std::collections::HashSet;

use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::name::PrefixDeclaration;
use quick_xml::reader::Reader;
use serde_json::{Map, Value};

use super::error::{DecodeError, malformed};
use super::excerpt::excerpt;
use super::json::without_bom;
use super::limits::PayloadLimits;

/// The namespace of `xsi:nil` and `xsi:type`.
const INSTANCE: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// Elements and attributes of a document together.
const NODES_MAX: usize = 100_000;

/// Converts a document to JSON. Elements named in `lists` are always lists, others if they are repeated.
pub(super) fn to_json(
    text: &str,
    lists: &[String],
    limits: &PayloadLimits,
) -> Result<String, DecodeError> {
    let text = without_bom(text);
    if text.trim_ascii().is_empty() {
        return Ok(String::new());
    }
    let mut tree = Tree {
        lists,
        depth_max: limits.depth_max,
        nodes: 0,
        open: vec![Element::root()],
        instance: HashSet::from(["xsi".to_owned()]),
    };
    let mut reader = Reader::from_str(text);
    loop {
        let at = reader.buffer_position();
        let event = reader.read_event().map_err(|error| not_xml(&error.to_string(), at))?;
        if let Event::Eof = event {
            break;
        }
        tree.take(event).map_err(|reason| not_xml(&reason, at))?;
    }
    tree.finish()
}

fn not_xml(reason: &str, at: u64) -> DecodeError {
    DecodeError::NotXml { reason: excerpt(reason), at }
}

struct Tree<'l> {
    lists: &'l [String],
    depth_max: usize,
    nodes: usize,
    /// The open elements, the outermost first.
    open: Vec<Element>,
    /// Prefixes of the namespace `INSTANCE`. `xsi` counts as one even if it is not declared.
    instance: HashSet<String>,
}

struct Element {
    name: String,
    attributes: Vec<(String, Value)>,
    /// Whether an attribute is part of the content: not of `INSTANCE`, and not `xml:space` or `xml:lang`, which
    /// describe only how the element is written.
    has_own_attributes: bool,
    /// Child elements.
    members: Map<String, Value>,
    text: String,
    is_nil: bool,
}

impl Element {
    fn new(name: &str) -> Element {
        Element {
            name: name.to_owned(),
            attributes: Vec::new(),
            has_own_attributes: false,
            members: Map::new(),
            text: String::new(),
            is_nil: false,
        }
    }

    /// Creates the parent of the document's element.
    fn root() -> Element {
        Element::new("")
    }

    /// Converts the element to JSON.
    fn into_value(self) -> Value {
        // An element without children is its text, so that `$.a.b` finds it whether it has
        // attributes or not. One with nothing but attributes, such as `<link href="…"/>`, has its
        // value in these.
        let has_text = !self.text.trim().is_empty();
        if self.is_nil && !has_text && self.members.is_empty() {
            return Value::Null;
        }
        if self.members.is_empty() && (has_text || !self.has_own_attributes) {
            return Value::String(self.text);
        }
        let mut members: Map<String, Value> = self.attributes.into_iter().collect();
        members.extend(self.members);
        if has_text {
            members.insert("#text".to_owned(), Value::String(self.text));
        }
        Value::Object(members)
    }
}

impl Tree<'_> {
    fn take(&mut self, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::Start(start) => self.begin(&start),
            Event::Empty(start) => {
                self.begin(&start)?;
                self.end();
                Ok(())
            }
            Event::End(_) => {
                self.end();
                Ok(())
            }
            Event::Text(text) => self.write(&text.xml10_content()),
            Event::CData(text) => self.write(&text.xml10_content()),
            Event::GeneralRef(reference) => self.write(&resolve(&reference)?),
            // Entities could expand without bound, or read files: a document type is refused as a
            // whole.
            Event::DocType(_) => Err("a document type is not taken".to_owned()),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::Eof => Ok(()),
        }
    }

    fn begin(&mut self, start: &BytesStart<'_>) -> Result<(), String> {
        if self.open.len() > self.depth_max {
            return Err(format!("nested deeper than {} levels", self.depth_max));
        }
        if let [root] = self.open.as_slice()
            && !root.members.is_empty()
        {
            return Err("a second element outside of the first".to_owned());
        }
        self.count()?;
        let mut element = Element::new(start.local_name().as_ref());
        self.read_attributes(start, &mut element)?;
        self.open.push(element);
        Ok(())
    }

    fn read_attributes(
        &mut self,
        start: &BytesStart<'_>,
        element: &mut Element,
    ) -> Result<(), String> {
        // The crate's check for duplicates is quadratic. Namespaces first: a declaration also
        // applies to the attributes before it.
        for attribute in start.attributes().with_checks(false).flatten() {
            if let Some(PrefixDeclaration::Named(prefix)) = attribute.key.as_namespace_binding()
                && attribute.value.as_ref() == INSTANCE
            {
                self.instance.insert(prefix.to_owned());
            }
        }
        for attribute in start.attributes().with_checks(false) {
            let attribute = attribute.map_err(|error| error.to_string())?;
            if attribute.key.as_namespace_binding().is_some() {
                continue;
            }
            self.count()?;
            let value = attribute.normalized_value(XmlVersion::Explicit1_0);
            let value = value.map_err(|error| error.to_string())?.into_owned();
            let name = attribute.key.local_name();
            let prefix = attribute.key.prefix();
            let is_of_instance =
                prefix.is_some_and(|prefix| self.instance.contains(prefix.as_ref()));
            if name.as_ref() == "nil" && is_of_instance {
                element.is_nil |= matches!(value.trim(), "true" | "1");
                continue;
            }
            let is_of_xml = prefix.is_some_and(|prefix| prefix.as_ref() == "xml");
            let is_about_text = is_of_xml && matches!(name.as_ref(), "space" | "lang");
            element.has_own_attributes |= !is_of_instance && !is_about_text;
            let name = format!("@{}", name.as_ref());
            element.attributes.push((name, Value::String(value)));
        }
        Ok(())
    }

    fn end(&mut self) {
        // The reader reports an end tag without its start tag.
        let Some(element) = self.open.pop() else { return };
        let Some(outer) = self.open.last_mut() else { return };
        let is_list = self.lists.contains(&element.name);
        let name = element.name.clone();
        let value = element.into_value();
        match outer.members.get_mut(&name) {
            Some(Value::Array(items)) => items.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
            None if is_list => drop(outer.members.insert(name, Value::Array(vec![value]))),
            None => drop(outer.members.insert(name, value)),
        }
    }

    fn write(&mut self, text: &str) -> Result<(), String> {
        match self.open.as_mut_slice() {
            [_, .., inner] => inner.text.push_str(text),
            _ if text.trim().is_empty() => {}
            _ => return Err("text outside of the document's element".to_owned()),
        }
        Ok(())
    }

    fn count(&mut self) -> Result<(), String> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(format!("more than {NODES_MAX} elements and attributes"));
        }
        Ok(())
    }

    fn finish(self) -> Result<String, DecodeError> {
        match <[Element; 1]>::try_from(self.open) {
            Ok([root]) if !root.members.is_empty() => Ok(Value::Object(root.members).to_string()),
            Ok(_) => Err(malformed("not XML: there is no element")),
            Err(_) => Err(malformed("not XML: an element does not end")),
        }
    }
}

/// Resolves a reference such as `&amp;` or `&#233;`.
fn resolve(reference: &BytesRef<'_>) -> Result<String, String> {
    let character = reference.resolve_char_ref().map_err(|error| error.to_string())?;
    if let Some(character) = character {
        return Ok(character.to_string());
    }
    let name = reference.xml10_content();
    let text = resolve_predefined_entity(&name).map(str::to_owned);
    text.ok_or_else(|| format!("the entity `{}` is not known", excerpt(&name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: PayloadLimits = PayloadLimits {
        bytes_max: 1_000,
        depth_max: 4,
        key_bytes_max: 100,
        parsed_bytes_max: 1 << 20,
    };

    #[track_caller]
    fn check(text: &str, expected: Result<&str, &str>) {
        let json = to_json(text, &["item".to_owned()], &LIMITS).map_err(|error| error.to_string());
        assert_eq!(json.as_deref().map_err(String::as_str), expected, "{text}");
    }

    #[test]
    fn elements_are_objects_without_prefixes() {
        let head = "\u{feff}<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- so -->";
        let text = "<s:a xmlns:s='u' xmlns='v' t:b='1'>\n <s:c>x &amp; y&#33;</s:c><d/></s:a>\n";
        check(&format!("{head}{text}"), Ok(r#"{"a":{"@b":"1","c":"x & y!","d":""}}"#));
        check("<a b='&lt;'> x <c/></a>", Ok(r##"{"a":{"@b":"<","c":"","#text":" x "}}"##));
        check("<a><![CDATA[<b>\r\n&amp;]]></a>", Ok(r#"{"a":"<b>\n&amp;"}"#));
    }

    #[test]
    fn element_with_text_is_a_string() {
        let xsi = "xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance'";
        let i = xsi.replace("xsi=", "i=");
        for (inside, expected) in [
            (format!("<b {xsi} xsi:nil='true'/>"), r#"{"b":null}"#),
            (format!("<b xsi:nil='1' {xsi}></b>"), r#"{"b":null}"#),
            (format!("<b {i} i:nil=' true '> </b>"), r#"{"b":null}"#),
            (format!("<b i:nil='true' {i}/>"), r#"{"b":null}"#),
            ("<b xsi:nil=\"true\"/>".to_owned(), r#"{"b":null}"#),
            ("<b xsi:nil='false'/>".to_owned(), r#"{"b":""}"#),
            ("<b xsi:nil='false'>x</b>".to_owned(), r#"{"b":"x"}"#),
            ("<b xsi:nil='true'/><b>x</b>".to_owned(), r#"{"b":[null,"x"]}"#),
            ("<item xsi:nil='true'/>".to_owned(), r#"{"item":[null]}"#),
            ("<b xsi:type='xsd:string'>x</b>".to_owned(), r#"{"b":"x"}"#),
            ("<b xsi:type='T'/>".to_owned(), r#"{"b":""}"#),
            ("<b xsi:type=\"xsd:string\"></b>".to_owned(), r#"{"b":""}"#),
            (format!("<b {i} i:type='T'> </b>"), r#"{"b":" "}"#),
            ("<b xsi:type='T' id='1'/>".to_owned(), r#"{"b":{"@type":"T","@id":"1"}}"#),
            ("<b xmlns='u'/>".to_owned(), r#"{"b":""}"#),
            ("<b xmlns:q='u' xmlns='v'></b>".to_owned(), r#"{"b":""}"#),
            (format!("<b {xsi} xsi:schemaLocation='u v'/>"), r#"{"b":""}"#),
            (format!("<b {i} xmlns='u' i:type='T' i:nil='true'/>"), r#"{"b":null}"#),
            ("<b xsi:type='T'/><b>x</b>".to_owned(), r#"{"b":["","x"]}"#),
            ("<b xml:space='preserve'/>".to_owned(), r#"{"b":""}"#),
            ("<b xml:lang='de' xml:space='preserve' xsi:type='T'></b>".to_owned(), r#"{"b":""}"#),
            ("<b xml:lang='de'>x</b>".to_owned(), r#"{"b":"x"}"#),
            ("<b xml:id='1'/>".to_owned(), r#"{"b":{"@id":"1"}}"#),
            ("<b lang='de'/>".to_owned(), r#"{"b":{"@lang":"de"}}"#),
            ("<b currency='EUR'>5</b>".to_owned(), r#"{"b":"5"}"#),
            ("<b t:id='1'><![CDATA[x]]></b>".to_owned(), r#"{"b":"x"}"#),
            ("<b xsi:type='T'><c/></b>".to_owned(), r#"{"b":{"@type":"T","c":""}}"#),
            ("<b nil='true'/>".to_owned(), r#"{"b":{"@nil":"true"}}"#),
            ("<b id='1'/>".to_owned(), r#"{"b":{"@id":"1"}}"#),
            ("<b id='1'><c xsi:nil='true'/></b>".to_owned(), r#"{"b":{"@id":"1","c":null}}"#),
        ] {
            check(&format!("<a>{inside}</a>"), Ok(&format!("{{\"a\":{expected}}}")));
        }
    }

    #[test]
    fn repeated_and_listed_elements_are_lists() {
        check("<a><b>1</b><c/><b>2</b></a>", Ok(r#"{"a":{"b":["1","2"],"c":""}}"#));
        check("<a><item>1</item></a>", Ok(r#"{"a":{"item":["1"]}}"#));
    }

    #[test]
    fn entities_are_not_expanded() {
        let bomb = "<!DOCTYPE a [<!ENTITY b 'xx'>]><a>&b;</a>";
        check(bomb, Err("not XML: a document type is not taken at byte 0"));
        check("<a>&b;</a>", Err("not XML: the entity `b` is not known at byte 3"));
        check("<a b='&c;'/>", Err("not XML: at 1..2: unrecognized entity `c` at byte 0"));
    }

    #[test]
    fn depth_and_number_of_nodes_are_bounded() {
        check("<a><a><a><a/></a></a></a>", Ok(r#"{"a":{"a":{"a":{"a":""}}}}"#));
        let reason = "not XML: nested deeper than 4 levels at byte 12";
        check("<a><a><a><a><a/></a></a></a></a>", Err(reason));
        let many = format!("<a>{}</a>", "<b/>".repeat(100_000));
        let reason = "not XML: more than 100000 elements and attributes at byte 399999";
        check(&many, Err(reason));
        let wide = format!("<a {}/>", "b='' ".repeat(100_000));
        check(&wide, Err("not XML: more than 100000 elements and attributes at byte 0"));
    }

    #[test]
    fn invalid_xml_is_refused() {
        check("{}", Err("not XML: text outside of the document's element at byte 0"));
        check("<a>", Err("not XML: an element does not end"));
        check("<!-- a -->", Err("not XML: there is no element"));
        check("<a/><b/>", Err("not XML: a second element outside of the first at byte 4"));
        assert!(to_json("<a></b>", &[], &LIMITS).is_err());
        assert!(to_json("</a>", &[], &LIMITS).is_err());
    }
}

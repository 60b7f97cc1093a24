//! Functions and filters in addition to minijinja's, as docs/templates.md lists them.

/// Function or filter, with an example for the payload in docs/templates.md.
#[derive(Debug, Clone, Copy)]
pub struct TemplateFunction {
    pub name: &'static str,
    pub usage: &'static str,
    /// Markdown.
    pub meaning: &'static str,
    pub example: &'static str,
}

pub const TEMPLATE_FUNCTIONS: [TemplateFunction; 8] = [
    TemplateFunction {
        name: "jsonpath",
        usage: "jsonpath(QUERY)",
        meaning: "the result of a [query](#jsonpath): a list, or one value if the query can have only one result",
        example: "{{ jsonpath('$.answers[?@.type == \"email\"].email') | first }}",
    },
    TemplateFunction {
        name: "html_to_text",
        usage: "html_to_text",
        meaning: "HTML as plain text",
        example: "{{ payload.body | html_to_text }}",
    },
    TemplateFunction {
        name: "slack_to_text",
        usage: "slack_to_text",
        meaning: "Slack's markup as plain text",
        example: "{{ payload.message | slack_to_text }}",
    },
    TemplateFunction {
        name: "first_email",
        usage: "first_email",
        meaning: "the first e-mail address in a text that Savio accepts; zero-width characters around it are removed, one inside makes it none",
        example: "{{ payload.text | first_email }}",
    },
    TemplateFunction {
        name: "date",
        usage: "date(VALUE, FORMAT)",
        meaning: "a time, formatted; also a filter",
        example: "{{ date(payload.created_at, '%d %B %Y') }}",
    },
    TemplateFunction {
        name: "split",
        usage: "split(SEPARATOR)",
        meaning: "the parts of a text, trimmed, without empty ones",
        example: "{{ payload.labels | split(',') | last }}",
    },
    TemplateFunction {
        name: "number",
        usage: "number",
        meaning: "a number, or a text that is one; empty for anything else",
        example: "{{ 'low' if payload.score | number < 9 else 'high' }}",
    },
    TemplateFunction {
        name: "urlencode",
        usage: "urlencode",
        meaning: "text for a part of a URL",
        example: "https://crm.example.com/?q={{ payload.text | first_email | urlencode }}",
    },
];

#[cfg(test)]
mod tests {
    use super::TEMPLATE_FUNCTIONS;
    use crate::mapping::language::template::functions::{FILTERS, FUNCTIONS};

    #[test]
    fn every_own_filter_is_documented() {
        let registered = include_str!("functions.rs").split("add_filter(\"").skip(1);
        for name in registered.filter_map(|rest| Some(rest.split_once('"')?.0)) {
            assert!(TEMPLATE_FUNCTIONS.iter().any(|function| function.name == name), "{name}");
        }
    }

    #[test]
    fn every_documented_function_exists() {
        for function in TEMPLATE_FUNCTIONS {
            let exists = FILTERS.contains(&function.name) || FUNCTIONS.contains(&function.name);
            assert!(exists, "{}", function.name);
        }
    }
}

//! The text formats of metrics, and which one a client gets.

use std::collections::BTreeSet;

/// A text format of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextFormat {
    /// Version 0.0.4, which every scraper reads.
    Prometheus,
    OpenMetrics,
}

impl TextFormat {
    /// Returns the format for the values of a request's `Accept`: OpenMetrics for a client that
    /// names it and prefers it, and that of Prometheus for every other, whatever it accepts.
    // A metric in a format that was not asked for is of more use than an error: curl and browsers
    // accept anything, and a person looks with them.
    pub fn accepted<'a>(accept: impl IntoIterator<Item = &'a str>) -> TextFormat {
        let ranges: Vec<MediaRange<'_>> =
            accept.into_iter().flat_map(|value| value.split(',')).filter_map(range).collect();
        let quality = |name: &str, version: &str| {
            let named = ranges.iter().filter(|it| it.name.eq_ignore_ascii_case(name));
            let fitting = named.filter(|it| it.version.is_none_or(|it| it == version));
            fitting.map(|it| it.quality).reduce(f32::max)
        };
        let open = quality("application/openmetrics-text", "1.0.0").unwrap_or(0.0);
        // RFC 9110, section 12.5.1: the most specific range counts.
        let plain = quality("text/plain", "0.0.4")
            .or_else(|| quality("text/*", ""))
            .or_else(|| quality("*/*", ""))
            .unwrap_or(0.0);
        if open > 0.0 && open >= plain { TextFormat::OpenMetrics } else { TextFormat::Prometheus }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            TextFormat::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            TextFormat::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// Rewrites text of OpenMetrics in this format.
    // The crate writes OpenMetrics only. The formats differ in the name of a counter, which is that
    // of its samples in one and without `_total` in the other, and in the mark of the end.
    pub(super) fn rewrite(self, text: String) -> String {
        match self {
            TextFormat::OpenMetrics => text,
            TextFormat::Prometheus => {
                let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
                let counters = types.filter_map(|line| line.strip_suffix(" counter"));
                let counters: BTreeSet<&str> = counters.collect();
                let lines = text.lines().filter(|line| *line != "# EOF");
                lines.map(|line| with_counter_name(line, &counters) + "\n").collect()
            }
        }
    }
}

/// Returns the line with the name of a counter as Prometheus expects it.
fn with_counter_name(line: &str, counters: &BTreeSet<&str>) -> String {
    for start in ["# HELP ", "# TYPE "] {
        let described = line.strip_prefix(start).and_then(|rest| rest.split_once(' '));
        if let Some((name, rest)) = described.filter(|(name, _)| counters.contains(name)) {
            return format!("{start}{name}_total {rest}");
        }
    }
    line.to_owned()
}

/// One of the ranges in an `Accept` header.
#[derive(Debug, Clone, Copy)]
struct MediaRange<'a> {
    name: &'a str,
    version: Option<&'a str>,
    quality: f32,
}

/// Parses a range; none if its quality is none.
fn range(text: &str) -> Option<MediaRange<'_>> {
    let mut parts = text.split(';').map(str::trim);
    let mut range = MediaRange { name: parts.next()?, version: None, quality: 1.0 };
    for (key, value) in parts.filter_map(|part| part.split_once('=')) {
        let value = value.trim().trim_matches('"');
        match key.trim().to_ascii_lowercase().as_str() {
            "version" => range.version = Some(value),
            "q" => range.quality = value.parse().ok().filter(|it| (0.0..=1.0).contains(it))?,
            _ => {}
        }
    }
    Some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(accept: &[&str], expected: TextFormat) {
        assert_eq!(TextFormat::accepted(accept.iter().copied()), expected, "{accept:?}");
    }

    #[test]
    fn openmetrics_is_sent_to_whoever_names_and_prefers_it() {
        // As Prometheus 2 and 3 ask.
        let two = "application/openmetrics-text;version=1.0.0,\
                   application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,\
                   */*;q=0.1";
        let three = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                     application/openmetrics-text;version=0.0.1;q=0.5,\
                     text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
                     text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for accept in [
            two,
            three,
            "application/openmetrics-text",
            "Application/OpenMetrics-Text; version=\"1.0.0\"",
            "text/plain;q=0.5, application/openmetrics-text;q=0.6",
            "application/openmetrics-text;q=0.2, */*;q=0.1",
        ] {
            check(&[accept], TextFormat::OpenMetrics);
        }
        check(&["text/plain;q=0.1", "application/openmetrics-text"], TextFormat::OpenMetrics);
    }

    #[test]
    fn everybody_else_gets_the_format_of_prometheus() {
        for accept in [
            "",
            "*/*",
            "text/plain",
            "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "text/html,application/xhtml+xml,*/*;q=0.8",
            "application/*",
            "application/json",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=0.3, text/plain;q=0.4",
            "application/openmetrics-text;q=0.3, text/*",
            "application/openmetrics-text;q=0.3, */*",
            "application/openmetrics-text;version=2.0.0",
            "application/openmetrics-text;q=high",
            "application/openmetrics-text;q=2",
            "application/openmetrics-text;q=NaN",
            ";;,,=",
        ] {
            check(&[accept], TextFormat::Prometheus);
        }
        check(&[], TextFormat::Prometheus);
    }

    #[test]
    fn text_of_prometheus_names_counters_by_their_samples() {
        let open = "# HELP a Things.\n# TYPE a counter\na_total 1\n# HELP a_b Level.\n\
                    # TYPE a_b gauge\na_b{c=\"# EOF\"} 2\n# EOF\n";

        let plain = TextFormat::Prometheus.rewrite(open.to_owned());

        let expected = "# HELP a_total Things.\n# TYPE a_total counter\na_total 1\n\
                        # HELP a_b Level.\n# TYPE a_b gauge\na_b{c=\"# EOF\"} 2\n";
        assert_eq!(plain, expected);
        assert_eq!(TextFormat::OpenMetrics.rewrite(open.to_owned()), open);
    }
}

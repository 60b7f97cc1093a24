//! Variables that a template can look up.

/// Variable that a template can look up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variable {
    Payload,
    Headers,
    Event,
    Answers,
    Item,
    /// The function `jsonpath`, which reads the payload and the item.
    Jsonpath,
}

impl Variable {
    pub(crate) const ALL: [Variable; 6] = [
        Variable::Payload,
        Variable::Headers,
        Variable::Event,
        Variable::Answers,
        Variable::Item,
        Variable::Jsonpath,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Variable::Payload => "payload",
            Variable::Headers => "headers",
            Variable::Event => "event",
            Variable::Answers => "answers",
            Variable::Item => "item",
            Variable::Jsonpath => "jsonpath",
        }
    }

    pub(super) fn named(name: &str) -> Option<Variable> {
        Variable::ALL.into_iter().find(|variable| variable.name() == name)
    }
}

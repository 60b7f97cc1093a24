//! The mapping language: values, queries, templates, conditions.
pub(crate) mod form_answers;
pub(crate) mod condition;
pub(crate) mod email;
pub(crate) mod expression;
pub(crate) mod steps;
pub(crate) mod value;
pub mod query;
pub(crate) mod scope;
pub(crate) mod template;
pub(crate) mod validators;

//! The mapping language: values, queries, templates, conditions.

pub(crate) mod condition;
pub(crate) mod email;
pub(crate) mod expression;
mod foreign_syntax;
pub(crate) mod form_answers;
pub(crate) mod item_values;
pub(crate) mod literal_path;
pub mod query;
pub(crate) mod query_log;
pub(crate) mod scope;
pub(crate) mod steps;
pub(crate) mod taken;
pub(crate) mod template;
pub(crate) mod validator;
pub(crate) mod value;
pub(crate) mod value_reader;

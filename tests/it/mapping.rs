//! The mapping language and its files.

mod empty_values;
mod explained;
mod jsonpath_cts;
mod jsonpath_property;
mod large_files;

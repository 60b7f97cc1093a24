//! The mapping language and its files.

mod empty_values;
mod jsonpath_cts;
mod jsonpath_property;
mod large_files;

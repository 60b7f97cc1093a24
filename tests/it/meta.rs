//! The repository itself: its layout and its documents.

mod architecture;
mod build_script;
mod docs;
mod migrations;
mod names;
mod repository;
mod tree;

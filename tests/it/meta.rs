//! The repository itself: its layout and its documents.

mod architecture;
mod docs;
mod repository;
mod tree;

//! The rules of the kinds of issues, each in a file. Pure: from what is known, and `now`.

pub mod dead;
pub mod dead_advice;
pub mod drift;
pub mod held;
pub mod mapping;
pub mod nodes;
pub mod paused;
pub mod queue;
pub mod rejected;
pub mod secret;
pub mod silent;
pub mod storage;
mod words;

//! Every byte that honeygraph reads from or writes to another program.
//!
//! Pure: no runtime, no clock, no I/O. One file per format, each with its limits and checks, and golden bytes
//! under `fixtures/`.
//!
//! *Always holds:* input is hostile until one of these parsers has accepted it; a value that was accepted prints
//! back to exactly one canonical text.

pub mod auth;
pub mod batch;
pub mod document;
pub mod honeycomb;
pub mod json;
pub mod op;
pub mod path;
pub mod reply;
pub mod swarm;

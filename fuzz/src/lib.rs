//! What the fuzz targets do with their input. The unit tests of each crate include the module that
//! is about it, and replay the corpora through it.

pub mod appservice;
pub mod bridge;
pub mod crypto;

#[path = "../../crypto/tests/it/common/mod.rs"]
mod common;

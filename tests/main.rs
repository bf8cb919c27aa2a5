//! The tests of the whole: over the built binary, over the library, and over the shape of the workspace. One binary, because each one links everything.
#![allow(clippy::unwrap_used, missing_docs)]

mod docs;
mod e2e;
mod edges;
mod golden;
mod support;
mod tidy;
mod tour;

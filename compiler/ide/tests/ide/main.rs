//! What an editor gets, for texts with the cursor at `$0`.

mod complete;
mod cut;
mod diagnostics;
mod editing;
mod hover;
mod incremental;
mod navigate;
mod outline;
mod picture;
mod rename;
mod support;

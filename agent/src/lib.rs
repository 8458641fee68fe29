//! Strongroom agent.

pub mod arena;
pub mod child;
pub mod inject;
pub mod isolate;
pub mod limits;
pub mod tool;

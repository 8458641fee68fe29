//! Strongroom agent.
pub mod json;

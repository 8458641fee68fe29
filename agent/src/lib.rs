//! Strongroom agent.
pub mod json;
pub mod limits;
pub mod llm;

//! Strongroom agent.
pub mod fernet;
pub mod json;
pub mod limits;
pub mod llm;
pub mod openhands;
pub mod profiles;
pub mod settings;

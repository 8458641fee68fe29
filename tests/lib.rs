//! What the tests of the whole program share with the benches and with programs in other languages: a model that
//! answers from a script, over HTTP, and an MCP server.

pub mod model;
pub mod tools;

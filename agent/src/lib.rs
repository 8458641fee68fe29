//! Strongroom's agent side: what lies between a vault of secrets and the wire, and knows no wire.
//!
//! - [`settings`]: one typed document with its secrets marked, and what may be done to it; [`profiles`] beside it.
//! - [`openhands`]: the state directory of an OpenHands agent-server, read and written; [`fernet`]: its tokens.
//! - [`llm`]: asking models; [`net`]: the way to other servers, for it and for lookups.
//! - [`secrets`]: the named secrets of a conversation, from [`source`], [`lender`] or [`lookup`], at each use.
//! - [`child`]: programs that get secrets ([`inject`], from an [`arena`]) and nothing else of ours ([`isolate`]).
//! - [`redact`]: masking of all that comes back.
//! - [`tool`]: what an agent can do: a terminal, files, a task list; [`mcp`]: the tools of foreign servers.
//! - [`conversation`]: what is said and done, kept and shown.
//! - [`workspace`]: what a client can do beside: commands, files, repositories.
//! - [`json`]: trees whose texts are wiped; [`limits`]: every bound.

pub mod arena;
pub mod child;
pub mod conversation;
#[doc(hidden)]
pub mod failpoint;
pub mod fernet;
mod heap;
pub mod inject;
pub mod isolate;
pub mod json;
pub mod lender;
pub mod limits;
pub mod llm;
pub mod lookup;
pub mod mcp;
pub mod net;
pub mod openhands;
pub mod profiles;
pub mod redact;
pub mod secrets;
pub mod settings;
pub mod source;
pub mod tool;
pub mod workspace;

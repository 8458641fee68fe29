//! Strongroom's server and command line: the REST surface of the OpenHands agent server over an encrypted
//! vault.
//!
//! The binary `strongroom` is [`cli::main`]. A program that has a [`Vault`](strongroom_vault::Vault) of its own
//! can serve it in process:
//!
//! ```
//! use strongroom_http::{Config, Server};
//! use strongroom_vault::{Options, Plaintext, Vault};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let vault = Vault::in_memory(&Options::default())?;
//! let config = Config {
//!     addresses: vec!["127.0.0.1:0".parse()?],
//!     keys: vec![Plaintext::copy_of(b"a session key")],
//!     ..Config::default()
//! };
//! let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! runtime.block_on(async {
//!     let server = Server::bind(config, vault).await?;
//!     println!("http://{}", server.local_addr());
//!     # let until = std::future::ready(());
//!     server.run(until).await;
//!     Ok(())
//! })
//! # }
//! ```
//!
//! A request's way: [`server`] accepts, [`connection`] drives hyper over [`scrub`], [`service`] goes through
//! guard, route, key and body, a handler in [`routes`] answers, [`reply`] writes.
//!
//! The promise that nothing of a secret stays in memory needs
//! [`WipingAllocator`](strongroom_vault::WipingAllocator) as the program's allocator; the binary has it.

pub mod auth;
pub mod body;
pub mod call;
pub mod cli;
pub mod client;
pub mod config;
pub mod connection;
pub mod cors;
mod environ;
pub mod error;
pub mod harden;
pub mod limits;
pub mod log;
pub mod media;
pub mod multipart;
pub mod pieces;
pub mod pool;
pub mod query;
pub mod reply;
pub mod router;
pub mod routes;
pub mod scrub;
pub mod server;
pub mod service;
pub mod several;
pub mod socket;
pub mod talk;
pub mod trail;
pub mod transfer;
pub mod watch;
pub mod websocket;

pub use config::Environment;
pub use server::{BindError, Config, Server};

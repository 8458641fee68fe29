//! Conversations: what they hold, how they are kept and shown, and how they are run.
//!
//! A conversation is a log of [`Event`]s and a [`State`]. A [`Journal`] is the only way to both: what it commits is
//! masked first, on disk when it returns, and then shown to the subscribers of its [`Hub`]. Nothing here knows HTTP.

pub mod agent;
mod aside;
pub mod call;
pub mod clock;
pub mod condense;
pub mod confirm;
mod error;
pub mod event;
mod exhausted;
mod histories;
pub mod history;
pub mod hub;
mod id;
mod incoming;
pub mod info;
pub mod journal;
mod machine;
mod masks;
pub mod outfit;
pub mod pending;
pub mod prompt;
mod raw;
pub mod registry;
pub mod request;
pub mod run;
pub mod search;
mod servers;
mod shorten;
mod state;
mod status;
mod stream;
pub mod stuck;
mod title;
mod turn;

pub use clock::Moment;
pub use error::Error;
pub use event::{Body, Event, Parent, Source};
pub use histories::Histories;
pub use hub::{Hub, Next, Subscription};
pub use id::{EventId, Id};
pub use journal::{Committed, Draft, Journal};
pub use raw::Raw;
pub use registry::{Conversation, Conversations};
pub use run::{Incoming, Parts, Runner};
pub use search::{Filter, Order, Query};
pub use state::{Origin, State, Stats};
pub use status::Status;

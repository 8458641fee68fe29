//! What clients ask of conversations: every body, read into a typed request or refused field by field.
//!
//! Members that are not named here are ignored, as the reference does; so are, on purpose, those about its tracing
//! (`observability_*`), and nothing is made of `agent_definitions`.

pub mod create;
mod kind;
pub mod message;
pub mod secrets;
pub mod small;

pub(crate) use create::Prepared;
pub use create::{Create, Setup, Tags, Workspace};
pub(crate) use kind::{Kinds, opaque, veil_models, veiled};
pub use kind::{Opaque, Uuid};
pub use message::SendMessage;
pub use secrets::{SecretSource, SetSecrets};
pub use small::{Analyzer, Ask, Confirmation, Fork, Patch, Policy, SetAnalyzer, SetPolicy};

use super::Error;
use crate::json::Json;
use crate::settings::Site;
use crate::settings::field::{Field, Reading, Source};

/// Reads a body; `None` is one that is missing.
pub(crate) fn read<T: Field>(
    body: Option<&Json>,
    site: &Site<'_>,
    source: Source,
) -> Result<T, Error> {
    let mut run = Reading::new(site, source, "body");
    let read = match body {
        Some(body) => T::read(body, None, &mut run),
        None => {
            let fault = run.fault("missing", "Field required", Json::Null);
            run.refuse(fault)
        }
    };
    if let Some(place) = run.unopened.into_iter().next() {
        return Err(Error::Unopened(place));
    }
    read.ok_or(Error::Fields(run.faults))
}

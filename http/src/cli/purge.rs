//! `strongroom purge`.

use super::{Failure, Place, say};
use crate::config::Environment;

pub(super) fn run(place: &Place, env: &mut Environment) -> Result<(), Failure> {
    place.open_existing(env)?.vault.purge()?;
    say("the vault is compacted");
    Ok(())
}

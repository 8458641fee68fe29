//! `strongroom verify`.

use super::{Failure, Place, say};
use crate::config::Environment;

pub(super) fn run(place: &Place, env: &mut Environment) -> Result<(), Failure> {
    let report = place.open_existing(env)?.vault.verify()?;
    say(&report.to_string());
    if report.is_clean() {
        Ok(())
    } else {
        Err(Failure::Damaged)
    }
}

//! `strongroom purge`.

use hyper::Method;

use super::{Failure, Place, say};
use crate::config::Environment;

pub(super) fn run(place: &Place, env: &mut Environment) -> Result<(), Failure> {
    place
        .road(env)?
        .ask(Method::DELETE, "/local/deleted", None)?;
    say(
        "the vault is compacted: no sealed byte of what was deleted or replaced is left in its file",
    );
    Ok(())
}

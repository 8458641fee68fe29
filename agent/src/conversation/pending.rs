//! What waiting actions would really do: kept sealed, since the log has them masked.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use strongroom_vault::Plaintext;

use super::{Error, EventId};
use crate::tool::Action;

/// A call that is to be run: its event, and its true action.
#[derive(Serialize, Deserialize)]
pub struct Planned {
    /// The event of the call.
    pub event: EventId,
    /// The provider's id of the call.
    pub call: String,
    /// The tool.
    pub tool: String,
    /// What it is to do.
    pub action: Action,
}

/// The calls as they are sealed. Written in place: no buffer is left behind.
///
/// # Errors
/// [`Error::Damaged`], which does not happen.
pub fn seal(calls: &[&Planned]) -> Result<Plaintext, Error> {
    let unwritable = |_| Error::Damaged("an action", "it does not fit into JSON");
    let mut size = Count(0);
    serde_json::to_writer(&mut size, calls).map_err(unwritable)?;
    Plaintext::fill(size.0, |place| {
        serde_json::to_writer(place, calls).map_err(unwritable)
    })
}

/// The calls that were sealed.
///
/// # Errors
/// [`Error::Damaged`].
pub fn open(sealed: &Plaintext) -> Result<Vec<Planned>, Error> {
    serde_json::from_slice(sealed.expose())
        .map_err(|_| Error::Damaged("the waiting actions", "they are not what was written"))
}

struct Count(usize);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::TerminalAction;

    #[test]
    fn what_was_sealed_opens() {
        let planned = Planned {
            event: "00000007-4567-4abc-8def-0123456789ab".parse().unwrap(),
            call: "call_1".to_owned(),
            tool: "terminal".to_owned(),
            action: Action::Terminal(TerminalAction {
                command: "echo \"é\"".to_owned(),
                ..TerminalAction::default()
            }),
        };
        let sealed = seal(&[&planned]).unwrap();
        let opened = open(&sealed).unwrap();
        assert_eq!(opened.len(), 1);
        assert_eq!(opened[0].action, planned.action);
        assert_eq!(opened[0].event, planned.event);
        assert!(open(&Plaintext::copy_of(b"{")).is_err());
    }
}

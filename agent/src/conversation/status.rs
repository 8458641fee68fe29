//! What a conversation is doing.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The `execution_status` of a conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It waits for a message or for being run.
    #[default]
    Idle,
    /// It runs.
    Running,
    /// It was paused or interrupted.
    Paused,
    /// Actions wait for being confirmed.
    WaitingForConfirmation,
    /// The agent is done.
    Finished,
    /// It failed.
    Error,
    /// It repeated itself.
    Stuck,
    /// It is being deleted.
    Deleting,
}

impl Status {
    /// Every one, in the order in which they are listed to clients.
    pub const ALL: [Self; 8] = [
        Self::Idle,
        Self::Running,
        Self::Paused,
        Self::WaitingForConfirmation,
        Self::Finished,
        Self::Error,
        Self::Stuck,
        Self::Deleting,
    ];

    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::WaitingForConfirmation => "waiting_for_confirmation",
            Self::Finished => "finished",
            Self::Error => "error",
            Self::Stuck => "stuck",
            Self::Deleting => "deleting",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Status {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let found = Self::ALL.into_iter().find(|status| status.as_str() == text);
        found.ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_in_one_way_only() {
        for status in Status::ALL {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
            assert_eq!(status.to_string().parse(), Ok(status));
        }
        assert_eq!("stopped".parse::<Status>(), Err(()));
    }
}

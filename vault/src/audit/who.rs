//! Who did something: in whose name, from where, for which conversation and tool.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::limits::AUDIT_TEXT_BYTES_MAX;

/// A short text without control characters; what is longer is cut. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Text(Kept);

#[derive(Clone, PartialEq, Eq)]
enum Kept {
    Fixed(&'static str),
    Shared(Arc<str>),
}

impl Text {
    /// Takes at most [`AUDIT_TEXT_BYTES_MAX`] bytes, with `?` for control characters.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let cut = cut(text, AUDIT_TEXT_BYTES_MAX);
        if !cut.contains(char::is_control) {
            return Self(Kept::Shared(cut.into()));
        }
        let clean: String = cut
            .chars()
            .map(|c| if c.is_control() { '?' } else { c })
            .collect();
        Self(Kept::Shared(cut_clean(&clean)))
    }

    const fn fixed(text: &'static str) -> Self {
        Self(Kept::Fixed(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Kept::Fixed(text) => text,
            Kept::Shared(text) => text,
        }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

fn cut_clean(text: &str) -> Arc<str> {
    cut(text, AUDIT_TEXT_BYTES_MAX).into()
}

/// The first characters of a text that take no more than `most` bytes.
fn cut(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or(text)
}

/// From where something was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Peer {
    /// From within this process.
    #[default]
    Here,
    /// Over the network. Without the port, which says nothing afterwards.
    Address(IpAddr),
    /// Over a socket of this machine, by this user.
    User(u32),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here => f.write_str("here"),
            Self::Address(address) => address.fmt(f),
            Self::User(uid) => write!(f, "uid:{uid}"),
        }
    }
}

/// Who does something. Cheap to clone; on the way of a request nothing is formatted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    name: Text,
    peer: Peer,
    conversation: Option<Text>,
    tool: Option<Text>,
}

impl Who {
    const fn fixed(name: &'static str) -> Self {
        Self {
            name: Text::fixed(name),
            peer: Peer::Here,
            conversation: None,
            tool: None,
        }
    }

    /// Whoever owns the data directory.
    #[must_use]
    pub const fn owner() -> Self {
        Self::fixed("owner")
    }

    /// A process of this machine, on a server without session keys.
    #[must_use]
    pub const fn local() -> Self {
        Self::fixed("local")
    }

    /// Someone who did not prove to be anybody.
    #[must_use]
    pub const fn nobody() -> Self {
        Self::fixed("nobody")
    }

    /// This program, by itself.
    #[must_use]
    pub const fn server() -> Self {
        Self::fixed("server")
    }

    /// Whoever has the key of this id; the id, never the key. Formats: make it once for each key.
    #[must_use]
    pub fn key(id: &str) -> Self {
        Self::named(&format!("key:{id}"))
    }

    pub(crate) fn named(name: &str) -> Self {
        Self {
            name: Text::new(name),
            ..Self::nobody()
        }
    }

    /// The same, from there.
    #[must_use]
    pub const fn at(mut self, peer: Peer) -> Self {
        self.peer = peer;
        self
    }

    /// The same, for a conversation.
    #[must_use]
    pub fn in_conversation(mut self, id: impl Into<Text>) -> Self {
        self.conversation = Some(id.into());
        self
    }

    /// The same, by means of a tool or command.
    #[must_use]
    pub fn with(mut self, tool: impl Into<Text>) -> Self {
        self.tool = Some(tool.into());
        self
    }

    /// In whose name: `key:` and its id, `owner`, `local`, `server` or `nobody`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// From where.
    #[must_use]
    pub const fn peer(&self) -> Peer {
        self.peer
    }

    /// For which conversation.
    #[must_use]
    pub fn conversation(&self) -> Option<&str> {
        self.conversation.as_ref().map(Text::as_str)
    }

    /// By means of which tool or command.
    #[must_use]
    pub fn tool(&self) -> Option<&str> {
        self.tool.as_ref().map(Text::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_short_and_clean() {
        assert_eq!(Text::new("tërm").as_str(), "tërm");
        assert_eq!(Text::new("a\nb\u{85}").as_str(), "a?b?");
        let long = "ü".repeat(AUDIT_TEXT_BYTES_MAX);
        assert_eq!(Text::new(&long).as_str().len(), AUDIT_TEXT_BYTES_MAX);
        let odd = format!("x{long}");
        assert_eq!(Text::new(&odd).as_str().len(), AUDIT_TEXT_BYTES_MAX - 1);
    }
}

//! Who is calling: session keys, and the rights that a route asks for.

use std::sync::Arc;

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use sha2::{Digest, Sha256};
use strongroom_agent::source::{Holder, KeyId, Rights};
use strongroom_vault::{Name, Plaintext};
use subtle::{Choice, ConstantTimeEq};

use crate::error::Error;
use crate::routes::cookie;

const SESSION_KEY: HeaderName = HeaderName::from_static("x-session-api-key");

/// The right that a route asks for: its column in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing: anyone may ask.
    Open,
    /// To see which secrets there are.
    ListNames,
    /// To read a secret's value.
    ReadValue,
    /// To create, replace or delete a secret.
    WriteSecret,
    /// To read the settings and profiles, with their secrets.
    ReadSettings,
    /// To change the settings and profiles.
    WriteSettings,
    /// To begin, read and command conversations.
    Converse,
    /// To run commands, and to read and write files.
    Workspace,
    /// To read the files of a conversation's workspace, for which a page may use a cookie.
    WorkspaceFiles,
    /// To command the vault as a whole: for its owner on this machine, over the socket in the data directory.
    Owner,
}

/// On which road a request comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// A network address.
    Network,
    /// The socket in the data directory, or this process: whoever owns the data.
    Owner,
}

/// Who is calling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// Someone without a key, on an open route.
    Anyone,
    /// A process of this machine, on a server without session keys.
    Local,
    /// Whoever has the session key of this number.
    Key(usize),
    /// Whoever owns the data directory.
    Owner,
}

impl Caller {
    /// In whose name the secrets of the vault are read for this caller later on; `None` for one without rights.
    #[must_use]
    pub fn holder(self) -> Option<Holder> {
        match self {
            Self::Anyone => None,
            Self::Local | Self::Owner => Some(Holder::Local),
            // The place in the list goes through all rotations of the key in it.
            Self::Key(number) => Some(Holder::Key(KeyId::new(&number.to_string()))),
        }
    }
}

/// Who may read what with a session key, for sources that are resolved later.
pub struct KeyRights(pub Arc<Keys>);

impl Rights for KeyRights {
    fn holder(&self, key: &[u8]) -> Option<Holder> {
        self.0.caller(key)?.holder()
    }

    /// Every key has every right, and a configuration that lists other keys than before does not say whether one was
    /// rotated or withdrawn: what was set with it goes on working until it is removed.
    fn may_read(&self, holder: &Holder, _: &Name) -> bool {
        match holder {
            Holder::Local | Holder::Key(_) => true,
        }
    }
}

/// The session keys, as digests only: the keys themselves are forgotten at start.
pub struct Keys(Vec<[u8; 32]>);

impl Keys {
    /// Takes the keys of the configuration. None means that the server is for this machine only.
    pub fn new(keys: impl IntoIterator<Item = Plaintext>) -> Self {
        Self(keys.into_iter().map(|key| digest(key.expose())).collect())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Lets a request through to a route that asks for `access`, and says who it comes from. Every key has
    /// every right.
    ///
    /// # Errors
    /// [`Error::NoKey`]; [`Error::NoRoute`] for what only the owner may.
    pub fn admit(&self, peer: Peer, headers: &HeaderMap, access: Access) -> Result<Caller, Error> {
        match (peer, access) {
            (_, Access::Open) => return Ok(Caller::Anyone),
            (Peer::Owner, _) => return Ok(Caller::Owner),
            (Peer::Network, Access::Owner) => return Err(Error::NoRoute),
            (Peer::Network, _) => {}
        }
        let given = headers.get(SESSION_KEY).map(HeaderValue::as_bytes);
        let caller = self.caller(given.unwrap_or_default());
        let by_cookie = || match access {
            Access::WorkspaceFiles => {
                cookie::key(headers).and_then(|key| self.caller(key.expose()))
            }
            _ => None,
        };
        caller.or_else(by_cookie).ok_or(Error::NoKey)
    }

    /// Who has this key. Without keys, whoever calls is of this machine.
    fn caller(&self, given: &[u8]) -> Option<Caller> {
        if self.0.is_empty() {
            return Some(Caller::Local);
        }
        self.find(given)
    }

    /// Lets a websocket's request through: `false` if its first message has to be a key.
    ///
    /// # Errors
    /// [`Error::NoSocket`] for a wrong key.
    pub fn admit_socket(
        &self,
        peer: Peer,
        headers: &HeaderMap,
        parameter: Option<&str>,
    ) -> Result<bool, Error> {
        if peer == Peer::Owner || self.0.is_empty() {
            return Ok(true);
        }
        let header = headers.get(SESSION_KEY).map(HeaderValue::as_bytes);
        match parameter.map(str::as_bytes).or(header) {
            Some(given) if self.opens(given) => Ok(true),
            Some(_) => Err(Error::NoSocket),
            None => Ok(false),
        }
    }

    /// Whether this is one of the keys, or none is needed.
    #[must_use]
    pub fn opens(&self, given: &[u8]) -> bool {
        self.caller(given).is_some()
    }

    /// Compares with every key, and in constant time, so that time tells nothing about them.
    fn find(&self, given: &[u8]) -> Option<Caller> {
        let given = digest(given);
        let mut found = None;
        for (number, key) in self.0.iter().enumerate() {
            let equal: Choice = key.ct_eq(&given);
            if equal.into() {
                found = Some(Caller::Key(number));
            }
        }
        found
    }
}

fn digest(key: &[u8]) -> [u8; 32] {
    Sha256::digest(key).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(keys: &[&str]) -> Keys {
        Keys::new(keys.iter().map(|key| Plaintext::copy_of(key.as_bytes())))
    }

    fn admit(keys: &Keys, given: &[&str]) -> Option<Caller> {
        let mut headers = HeaderMap::new();
        for value in given {
            headers.append(SESSION_KEY, HeaderValue::from_str(value).unwrap());
        }
        keys.admit(Peer::Network, &headers, Access::ReadValue).ok()
    }

    #[test]
    fn each_key_opens_and_nothing_else_does() {
        let keys = keys(&["first", "second"]);
        assert_eq!(admit(&keys, &["first"]), Some(Caller::Key(0)));
        assert_eq!(admit(&keys, &["second"]), Some(Caller::Key(1)));
        for wrong in ["", "First", "firs", "first ", "firstsecond"] {
            assert_eq!(admit(&keys, &[wrong]), None, "{wrong:?}");
        }
        assert_eq!(admit(&keys, &[]), None);
    }

    #[test]
    fn the_cookie_opens_files_of_workspaces_and_nothing_else() {
        let keys = keys(&["k"]);
        let admit = |cookie: &'static str, access| {
            let mut headers = HeaderMap::new();
            headers.insert(hyper::header::COOKIE, HeaderValue::from_static(cookie));
            keys.admit(Peer::Network, &headers, access).is_ok()
        };
        let right = "a=b; oh_workspace_session_key=k";
        assert!(admit(right, Access::WorkspaceFiles));
        for access in [
            Access::Workspace,
            Access::ReadSettings,
            Access::ReadValue,
            Access::Owner,
        ] {
            assert!(!admit(right, access), "{access:?}");
        }
        for wrong in [
            "oh_workspace_session_key=kk",
            "oh_workspace_session_key=",
            "k",
            "session_key=k",
        ] {
            assert!(!admit(wrong, Access::WorkspaceFiles), "{wrong}");
        }
    }

    #[test]
    fn the_first_of_several_headers_counts() {
        let keys = keys(&["right"]);
        assert_eq!(admit(&keys, &["right", "wrong"]), Some(Caller::Key(0)));
        assert_eq!(admit(&keys, &["wrong", "right"]), None);
    }

    #[test]
    fn without_keys_the_header_is_ignored() {
        assert_eq!(admit(&keys(&[]), &["anything"]), Some(Caller::Local));
    }

    #[test]
    fn what_a_key_has_set_outlives_the_key() {
        let name = Name::new("A").unwrap();
        let rights = |list: &[&str]| KeyRights(Arc::new(keys(list)));
        let before = rights(&["first", "second"]);
        assert_eq!(before.holder(b"firs"), None);
        let holder = before.holder(b"second").unwrap();
        assert_eq!(Some(&holder), Caller::Key(1).holder().as_ref());
        assert!(before.may_read(&holder, &name));
        let rotated = rights(&["first", "third"]);
        assert_eq!(rotated.holder(b"second"), None);
        assert_eq!(rotated.holder(b"third").as_ref(), Some(&holder));
        assert!(rotated.may_read(&holder, &name));
        assert_eq!(rights(&[]).holder(b"any"), Some(Holder::Local));
        assert_eq!(Caller::Anyone.holder(), None);
    }

    #[test]
    fn open_routes_ask_for_nothing() {
        let caller = keys(&["k"]).admit(Peer::Network, &HeaderMap::new(), Access::Open);
        assert_eq!(caller.ok(), Some(Caller::Anyone));
    }

    #[test]
    fn the_owner_needs_no_key_and_alone_may_command() {
        let (keys, none) = (keys(&["k"]), HeaderMap::new());
        for access in [Access::ReadValue, Access::Owner] {
            assert_eq!(
                keys.admit(Peer::Owner, &none, access).ok(),
                Some(Caller::Owner)
            );
        }
        let mut headers = HeaderMap::new();
        headers.append(SESSION_KEY, HeaderValue::from_static("k"));
        let refused = keys.admit(Peer::Network, &headers, Access::Owner);
        assert!(matches!(refused, Err(Error::NoRoute)));
    }
}

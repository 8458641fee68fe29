//! Who a request comes from, as the audit trail has it, and the noting of what it reads.

use std::net::SocketAddr;

use hyper::Method;
use strongroom_vault::audit::{Event, Operation, Peer, Verdict, Who};
use strongroom_vault::{Name, Namespace};

use crate::auth::{Access, Caller};
use crate::call::State;
use crate::error::Error;

/// Those who have session keys: made once, so that a request formats nothing.
pub struct Names(Vec<Who>);

impl Names {
    /// For so many keys.
    #[must_use]
    pub fn of(keys: usize) -> Self {
        Self(
            (0..keys)
                .map(|number| Who::key(&number.to_string()))
                .collect(),
        )
    }

    /// Who that is.
    #[must_use]
    pub fn who(&self, caller: Caller, from: Peer) -> Who {
        let who = match caller {
            Caller::Anyone => Who::nobody(),
            Caller::Local => Who::local(),
            Caller::Owner => Who::owner(),
            Caller::Key(number) => self.0.get(number).cloned().unwrap_or(Who::nobody()),
        };
        who.at(from)
    }
}

/// From where a connection over the network comes.
#[must_use]
pub fn address(from: std::io::Result<SocketAddr>) -> Peer {
    from.map_or(Peer::Here, |from| Peer::Address(from.ip().to_canonical()))
}

impl State {
    /// Notes an access before its answer goes out; leaves this thread only if that has to wait.
    ///
    /// # Errors
    /// When the entry can't be written: then there must be no answer.
    pub(crate) async fn note(&self, event: Event<'_>) -> Result<(), Error> {
        if self.vault.try_note(&event) {
            return Ok(());
        }
        let (vault, who) = (self.vault.clone(), event.who.clone());
        let (namespace, name) = (event.namespace.cloned(), event.name.cloned());
        let Event {
            operation,
            version,
            verdict,
            ..
        } = event;
        let note = move || {
            vault.note(&Event {
                who: &who,
                operation,
                namespace: namespace.as_ref(),
                name: name.as_ref(),
                version,
                verdict,
            })
        };
        self.pool.write(note).await
    }

    /// Notes that a value was read, or was not there.
    ///
    /// # Errors
    /// Those of [`note`](Self::note).
    pub(crate) async fn note_read(
        &self,
        who: &Who,
        operation: Operation,
        namespace: &Namespace,
        name: &Name,
        version: Option<u64>,
    ) -> Result<(), Error> {
        let verdict = match version {
            Some(_) => Verdict::Done,
            None => Verdict::Absent,
        };
        self.note(Event {
            who,
            operation,
            namespace: Some(namespace),
            name: Some(name),
            version,
            verdict,
        })
        .await
    }

    /// Notes that somebody without a key was turned away. Not by name: whoever may not come in could make up any
    /// number of them, and push everything else out of the trail.
    pub(crate) async fn note_refusal(&self, from: Peer, method: &Method, access: Option<Access>) {
        let namespace = match access {
            Some(Access::ReadValue | Access::WriteSecret | Access::ListNames) => {
                Some(&self.secrets)
            }
            _ => None,
        };
        let event = Event {
            who: &Who::nobody().at(from),
            operation: match *method {
                Method::PUT | Method::POST | Method::PATCH => Operation::Write,
                Method::DELETE => Operation::Delete,
                _ => Operation::Read,
            },
            namespace,
            name: None,
            version: None,
            verdict: Verdict::Refused,
        };
        // The answer says no either way.
        let _ = self.note(event).await;
    }
}

//! What the audit trail says of the sources: who used which, for what, and what came of it.

use strongroom_vault::audit::{Event, Operation, Verdict, Who};
use strongroom_vault::{Name, Namespace, Plaintext};

use super::entry::{Entry, Kind};
use super::{Error, Shared};
use crate::source::Holder;

/// What the audit trail says of a source, beside its name.
pub(super) struct Access {
    who: Who,
    operation: Operation,
    version: Option<u64>,
    verdict: Verdict,
}

impl Access {
    /// A value that the kernel would not take.
    pub(super) fn skipped(who: Who) -> Self {
        Self {
            who,
            operation: Operation::Inject,
            version: None,
            verdict: Verdict::Failed,
        }
    }

    fn event<'a>(&'a self, namespace: &'a Namespace, name: &'a Name) -> Event<'a> {
        Event {
            who: &self.who,
            operation: self.operation,
            namespace: Some(namespace),
            name: Some(name),
            version: self.version,
            verdict: self.verdict,
        }
    }
}

impl Shared {
    /// Someone in this conversation.
    pub(super) fn who(&self, holder: Option<&Holder>, tool: &str) -> Who {
        let who = match holder {
            Some(Holder::Key(id)) => Who::key(id.as_str()),
            Some(Holder::Local) => Who::local(),
            None => Who::server(),
        };
        who.in_conversation(self.conversation.clone()).with(tool)
    }

    /// Resolves a source, and says so in the audit trail before the value is given away.
    pub(super) async fn noted(
        &self,
        name: &str,
        entry: &Entry,
        operation: Operation,
        tool: &str,
    ) -> Result<Option<Plaintext>, Error> {
        let (resolved, version) = match self.resolve(name, entry).await {
            Ok(Some((value, version))) => (Ok(Some(value)), version),
            Ok(None) => (Ok(None), None),
            Err(error) => (Err(error), None),
        };
        let access = Access {
            who: self.who(entry.kind.holder(), tool),
            operation,
            version,
            verdict: match &resolved {
                Ok(Some(_)) => Verdict::Done,
                Ok(None) | Err(Error::Absent { .. }) => Verdict::Absent,
                Err(Error::Denied { .. }) => Verdict::Refused,
                Err(_) => Verdict::Failed,
            },
        };
        self.note(entry, access).await?;
        resolved
    }

    /// Notes an access: to the vault's secret that a source leads to, or to the source where it leads elsewhere.
    pub(super) async fn note(&self, entry: &Entry, access: Access) -> Result<(), Error> {
        let lender = &self.resolver.lender;
        let (namespace, name) = match &entry.kind {
            Kind::Vault { name, .. } | Kind::Own { name, .. } => (lender.namespace(), name),
            Kind::Static | Kind::Foreign { .. } => (&self.place, &entry.record),
        };
        let vault = lender.vault();
        if vault.try_note(&access.event(namespace, name)) {
            return Ok(());
        }
        let (vault, namespace, name) = (vault.clone(), namespace.clone(), name.clone());
        let note = move || vault.note(&access.event(&namespace, &name));
        let noted = tokio::task::spawn_blocking(note).await;
        noted
            .map_err(|error| Error::Thread(error.into()))?
            .map_err(Error::Vault)
    }
}

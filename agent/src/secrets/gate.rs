//! The way to the resolver, which opens when all that has to be masked is known.

use std::io;
use std::sync::Arc;

use tokio::sync::OnceCell;

use super::{Error, Resolver};
use crate::lender::Lender;
use crate::settings::Store;

/// Lets nobody at the [`Resolver`] before every value of the vault, the settings and the profiles is masked. Reading
/// them takes time in a large vault, and a server that starts has none.
pub struct Gate {
    resolver: Arc<Resolver>,
    settings: Arc<Store>,
    open: OnceCell<()>,
}

impl Gate {
    /// One that is closed. From here on what `settings` store is masked before it is stored.
    #[must_use]
    pub fn new(resolver: Resolver, settings: Arc<Store>) -> Self {
        settings.mask_with(resolver.lender.clone());
        Self {
            resolver: Arc::new(resolver),
            settings,
            open: OnceCell::new(),
        }
    }

    /// The lender, for whoever has a value that is to be masked ([`Lender::expect`], [`Lender::learn`]). Not for what
    /// it lends: that is what the gate is for.
    #[must_use]
    pub fn lender(&self) -> &Lender {
        &self.resolver.lender
    }

    /// The resolver, as soon as all is known: whoever comes first reads it in, on a thread that may block; the others
    /// wait. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Vault`], [`Error::Mask`], [`Error::Thread`]; the next call tries again.
    pub async fn resolver(&self) -> Result<Arc<Resolver>, Error> {
        self.open.get_or_try_init(|| self.read_in()).await?;
        Ok(self.resolver.clone())
    }

    async fn read_in(&self) -> Result<(), Error> {
        let (lender, settings) = (self.lender().clone(), self.settings.clone());
        let reading = tokio::task::spawn_blocking(move || {
            // Followed first: what is written meanwhile is learnt twice rather than not at all.
            lender.follow()?;
            settings.learn_all()
        });
        let lost = |_| Error::Thread(io::Error::other("reading the secrets broke off"));
        reading.await.map_err(lost)?
    }
}

#[cfg(test)]
mod tests {
    use strongroom_vault::{Name, Namespace, Options, Plaintext, Put, Vault};

    use super::*;
    use crate::fernet::Keys;
    use crate::json::Json;
    use crate::lookup::{Lookup, Options as LookupOptions};
    use crate::net::Network;
    use crate::redact::MASK;
    use crate::source::testing::Nobody;

    #[tokio::test]
    async fn behind_the_gate_everything_is_masked() {
        let vault = Vault::in_memory(&Options::default()).unwrap();
        let store = Arc::new(Store::new(vault.clone(), Keys::none(), "l".into()).unwrap());
        let put = |name: &str, value: &str| {
            let namespace = Namespace::new(crate::lender::NAMESPACE).unwrap();
            let put = Put::of(Plaintext::copy_of(value.as_bytes()));
            vault
                .put(&namespace, &Name::new(name).unwrap(), put)
                .unwrap();
        };
        put("A", "value-from-before");
        let key = r#"{"agent_settings_diff":{"llm":{"api_key":"sk-of-the-settings"}}}"#;
        let key = Json::parse(key.as_bytes()).unwrap();
        store
            .change(move |desk| desk.patch(Some(&key)).map(drop))
            .unwrap();
        let gate = Gate::new(
            Resolver {
                lender: Lender::unread(&vault).unwrap(),
                lookup: Lookup::new(LookupOptions::default(), Network::system()).unwrap(),
                rights: Box::new(Nobody),
            },
            store,
        );
        let hides = |text: &str| *gate.lender().redactor().text(text) == MASK;
        assert!(!hides("value-from-before"), "nobody has read it yet");
        let (one, other) = tokio::join!(gate.resolver(), gate.resolver());
        assert!(Arc::ptr_eq(&one.unwrap(), &other.unwrap()));
        assert!(hides("value-from-before") && hides("sk-of-the-settings"));
    }
}

//! Which values of the settings and profiles are hidden: what lies behind their secret marks, at present and in the
//! versions that the vault keeps.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use strongroom_vault::{Name, Namespace, Plaintext, Vault};

use super::desk::{Change, Place, ProfileKind};
use super::{Settings, Site, Spaces};
use crate::lender::Lender;
use crate::limits::LENDER_PAGE_RECORDS;
use crate::profiles::{agent, llm};
use crate::redact::ValueId;
use crate::secrets::Error;

/// Lends every secret of the record at `place` to `visit`. Of one that cannot be read, or was imported as it was, it
/// lends nothing: nobody uses that.
fn each_secret(place: &Place, record: &[u8], site: &Site<'_>, visit: &mut dyn FnMut(&str)) {
    match place {
        Place::Settings => {
            if let Ok(settings) = Settings::from_record(record, site) {
                settings.each_secret(visit);
            }
        }
        Place::Profile(ProfileKind::Llm, _) => llm::each_secret(record, site, visit),
        Place::Profile(ProfileKind::Agent, _) => agent::each_secret(record, site, visit),
        // It holds names of models.
        Place::Profile(ProfileKind::Meta, _) => {}
    }
}

/// Lends every secret of the settings and profiles in `vault`, of each record the oldest version first.
///
/// # Errors
/// When the vault cannot be read. A version that is damaged is passed over.
pub(crate) fn each_version(
    vault: &Vault,
    spaces: &Spaces,
    site: &Site<'_>,
    visit: &mut dyn FnMut(&Place, Vec<Plaintext>),
) -> Result<(), strongroom_vault::Error> {
    let mut record = |place: &Place, space: &Namespace, name: &Name| {
        for past in vault.history(space, name)? {
            match vault.value_at(space, name, past.version) {
                Ok(value) => visit(place, secrets(place, value.as_ref(), site)),
                Err(strongroom_vault::Error::Damaged { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        match vault.value(space, name) {
            Ok(value) => {
                let record = value.as_ref().map(|value| &value.bytes);
                visit(place, secrets(place, record, site));
            }
            Err(strongroom_vault::Error::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    };
    record(&Place::Settings, &spaces.settings, &spaces.name)?;
    for kind in [ProfileKind::Llm, ProfileKind::Agent] {
        let (space, mut next) = (spaces.of(kind), None);
        loop {
            let page = vault.list(space, next, LENDER_PAGE_RECORDS)?;
            for found in page.records {
                let place = Place::Profile(kind, found.name.as_str().to_owned());
                record(&place, space, &found.name)?;
            }
            next = page.next;
            if next.is_none() {
                break;
            }
        }
    }
    Ok(())
}

fn secrets(place: &Place, record: Option<&Plaintext>, site: &Site<'_>) -> Vec<Plaintext> {
    copies(|visit| {
        if let Some(record) = record {
            each_secret(place, record.expose(), site, visit);
        }
    })
}

fn copies(each: impl FnOnce(&mut dyn FnMut(&str))) -> Vec<Plaintext> {
    let mut found = Vec::new();
    each(&mut |secret| found.push(Plaintext::copy_of(secret.as_bytes())));
    found
}

/// Tells a lender what to mask before it is stored.
pub(crate) struct Masks {
    lender: Lender,
    /// How many secrets a record has had at most.
    counts: Mutex<BTreeMap<Place, usize>>,
    /// Whether all that is stored is known: from then on nothing is stored that is not.
    complete: AtomicBool,
}

impl Masks {
    pub(crate) fn new(lender: Lender) -> Self {
        Self {
            lender,
            counts: Mutex::default(),
            complete: AtomicBool::new(false),
        }
    }

    pub(crate) fn lender(&self) -> &Lender {
        &self.lender
    }

    pub(crate) fn learn_all(
        &self,
        vault: &Vault,
        spaces: &Spaces,
        site: &Site<'_>,
    ) -> Result<(), Error> {
        let mut found = Vec::new();
        each_version(vault, spaces, site, &mut |place, secrets| {
            found.extend(self.named(place, secrets));
        })?;
        self.lender.learn_each(&found)?;
        self.complete.store(true, Ordering::Release);
        Ok(())
    }

    /// Learns what is about to be stored, and lets go of what is deleted with it.
    ///
    /// # Errors
    /// Once all is known: [`Error::Mask`], and then it must not be stored. Before that nobody is handed
    /// anything, and [`learn_all`](Self::learn_all) will say the same.
    pub(crate) fn expect(
        &self,
        changes: &[Change],
        settings: Option<&Settings>,
        site: &Site<'_>,
    ) -> Result<(), Error> {
        let mut values = Vec::new();
        for change in changes {
            let secrets = match (&change.place, settings) {
                (Place::Settings, Some(settings)) => copies(|visit| settings.each_secret(visit)),
                _ => secrets(&change.place, change.content.as_ref(), site),
            };
            values.extend(self.named(&change.place, secrets));
        }
        match self.lender.learn_each(&values) {
            Err(error) if self.complete.load(Ordering::Acquire) => Err(error),
            _ => Ok(()),
        }
    }

    /// The secrets of a record under ids of their own: which one, counted through the record. When one in the middle
    /// is taken out, those behind it move up, and the earlier values of each id go on being masked.
    fn named(&self, place: &Place, secrets: Vec<Plaintext>) -> Vec<(ValueId, Plaintext)> {
        let count = secrets.len();
        let before = {
            let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
            let known = counts.entry(place.clone()).or_default();
            let before = *known;
            *known = before.max(count);
            before
        };
        self.lender
            .retire((count..before).map(|number| id(place, number)));
        let named: Vec<_> = (0..).map(|number| id(place, number)).zip(secrets).collect();
        self.lender
            .keep(&named.iter().map(|(id, _)| id).collect::<HashSet<_>>());
        named
    }
}

fn id(place: &Place, number: usize) -> ValueId {
    let (source, name) = match place {
        Place::Settings => ("settings", "the settings"),
        Place::Profile(ProfileKind::Llm, name) => ("LLM profile", name.as_str()),
        Place::Profile(ProfileKind::Agent, name) => ("agent profile", name.as_str()),
        Place::Profile(ProfileKind::Meta, name) => ("meta profile", name.as_str()),
    };
    ValueId::new(source, &format!("{name}, secret {}", number + 1))
}

#[cfg(test)]
mod tests {
    use strongroom_vault::Options;

    use super::super::{SettingsError, Store};
    use super::*;
    use crate::fernet::Keys;
    use crate::json::Json;
    use crate::redact::MASK;

    fn store(vault: &Vault) -> Store {
        Store::new(vault.clone(), Keys::none(), "l".to_owned()).unwrap()
    }

    fn patch(store: &Store, body: &str) -> Result<(), SettingsError> {
        let body = Json::parse(body.as_bytes()).unwrap();
        store.change(move |desk| desk.patch(Some(&body)).map(drop))
    }

    fn key(value: &str) -> String {
        format!(r#"{{"agent_settings_diff":{{"llm":{{"api_key":"{value}"}}}}}}"#)
    }

    fn server(name: &str, value: &str) -> String {
        format!(
            r#"{{"agent_settings_diff":{{"mcp_config":{{"{name}":{{"command":"x","env":{{"A":"{value}"}}}}}}}}}}"#
        )
    }

    fn save(store: &Store, name: &'static str, value: &str) {
        let body = format!(r#"{{"llm":{{"model":"m","api_key":"{value}"}}}}"#);
        let body = Json::parse(body.as_bytes()).unwrap();
        let saved = store.change(move |desk| desk.save_llm_profile(name, Some(&body)).map(drop));
        assert!(saved.is_ok());
    }

    fn hides(lender: &Lender, text: &str) -> bool {
        *lender.redactor().text(text) == MASK
    }

    #[test]
    fn what_is_stored_is_known_with_its_previous_versions() {
        let vault = Vault::in_memory(&Options::default()).unwrap();
        let filler = store(&vault);
        patch(&filler, &key("sk-first-of-two-1")).unwrap();
        patch(&filler, &key("sk-second-of-two-2")).unwrap();
        patch(&filler, &server("s", "env-of-a-server-3")).unwrap();
        save(&filler, "p", "sk-of-a-profile-4");
        save(&filler, "p", "sk-of-a-profile-5");
        let lender = Lender::new(&vault).unwrap();
        let store = store(&vault);
        store.mask_with(lender.clone());
        assert!(!hides(&lender, "sk-of-a-profile-5"));
        store.learn_all().unwrap();
        for known in [
            "sk-first-of-two-1",
            "sk-second-of-two-2",
            "env-of-a-server-3",
            "sk-of-a-profile-4",
            "sk-of-a-profile-5",
        ] {
            assert!(hides(&lender, known), "{known}");
        }
        assert!(!hides(&lender, "openhands"));
    }

    #[test]
    fn what_is_changed_is_known_when_it_is_stored_and_stays_so() {
        let vault = Vault::in_memory(&Options::default()).unwrap();
        let lender = Lender::new(&vault).unwrap();
        let store = store(&vault);
        store.mask_with(lender.clone());
        patch(&store, &key("sk-before-all-is-read")).unwrap();
        assert!(hides(&lender, "sk-before-all-is-read"));
        store.learn_all().unwrap();
        for number in 0..20 {
            patch(&store, &key(&format!("sk-number-{number}-of-20"))).unwrap();
            assert!(hides(&lender, &format!("sk-number-{number}-of-20")));
        }
        assert!(hides(&lender, "sk-number-10-of-20"));
        // One that is taken out in the middle leaves the others masked.
        patch(&store, &server("a", "env-of-the-first-a")).unwrap();
        patch(&store, &server("b", "env-of-the-second-b")).unwrap();
        store
            .change(|desk| desk.delete_server("a").map(drop))
            .unwrap();
        assert!(hides(&lender, "env-of-the-first-a") && hides(&lender, "env-of-the-second-b"));
        save(&store, "p", "sk-of-a-profile-9");
        store
            .change(|desk| desk.delete_llm_profile("p").map(drop))
            .unwrap();
        assert!(hides(&lender, "sk-of-a-profile-9"));
    }
}

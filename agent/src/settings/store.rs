//! Settings and profiles in the vault.
//!
//! Changes are combined: whoever gets the turn runs every call that is waiting at one [`Desk`], in order, and
//! stores all their changes in one durable commit. So a lone PATCH costs one commit, and sixteen at once do
//! too.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use strongroom_vault::audit::{Operation, Who};
use strongroom_vault::{Expect, Name, Namespace, Plaintext, Put, Transaction, Vault};

use super::desk::{Change, Desk, Place, ProfileKind, Shelf, ShelfError};
use super::{Expose, SettingsError, Site, agent_schema};
use crate::fernet::Keys;
use crate::limits::SETTINGS_CALLS_MAX;
use crate::openhands::{self, ExportError, ImportError, Report, State};

/// Where the parts lie in the vault.
pub(crate) struct Spaces {
    pub(crate) settings: Namespace,
    pub(crate) llm: Namespace,
    pub(crate) agent: Namespace,
    pub(crate) meta: Namespace,
    /// The one record in `settings`.
    pub(crate) name: Name,
}

impl Spaces {
    pub(crate) fn new() -> Result<Self, strongroom_vault::Error> {
        Ok(Self {
            settings: Namespace::new("settings")?,
            llm: Namespace::new("llm-profiles")?,
            agent: Namespace::new("agent-profiles")?,
            meta: Namespace::new("meta-profiles")?,
            name: Name::new("settings")?,
        })
    }

    pub(crate) fn of(&self, kind: ProfileKind) -> &Namespace {
        match kind {
            ProfileKind::Llm => &self.llm,
            ProfileKind::Agent => &self.agent,
            ProfileKind::Meta => &self.meta,
        }
    }

    pub(crate) fn place(
        &self,
        place: &Place,
    ) -> Result<(&Namespace, Name), strongroom_vault::Error> {
        Ok(match place {
            Place::Settings => (&self.settings, self.name.clone()),
            Place::Profile(kind, name) => (self.of(*kind), Name::new(name)?),
        })
    }

    /// `transaction` and the changes.
    pub(crate) fn with_changes(
        &self,
        mut transaction: Transaction,
        changes: Vec<Change>,
    ) -> Result<Transaction, strongroom_vault::Error> {
        for change in changes {
            let (space, name) = self.place(&change.place)?;
            transaction = match change.content {
                Some(content) => transaction.put(space, &name, Put::of(content)),
                None => transaction.delete(space, &name, Expect::Any),
            };
        }
        Ok(transaction)
    }
}

/// See the module.
pub struct Store {
    shelf: VaultShelf,
    keys: Keys,
    log_completions_folder: String,
    /// Made when it is first asked for.
    agent_schema: OnceLock<Plaintext>,
    /// Calls that wait for their turn.
    waiting: Mutex<Vec<Job>>,
    /// Held by whoever has the turn.
    turn: Mutex<()>,
    masked: Masked,
}

/// A call with its caller.
struct Job {
    who: Who,
    call: Work,
}

/// A call that gives its answer once it is known whether its changes were stored.
type Work = Box<dyn FnOnce(&mut Desk<'_>) -> Finish + Send>;
type Finish = Box<dyn FnOnce(Option<&Arc<strongroom_vault::Error>>) + Send>;

/// The answer of a call, in whoever's turn it was given.
struct Slot<T>(Mutex<Option<Result<T, SettingsError>>>);

/// The masked settings as they were last shown. Nothing in them is secret.
#[derive(Default)]
struct Masked {
    /// Counts the commits, so that what was read before one is not kept after it.
    generation: AtomicU64,
    kept: Mutex<Option<Shown>>,
}

/// Settings as bytes, and their revision.
pub struct Shown {
    /// The body.
    pub body: Plaintext,
    /// Counts the changes of the settings.
    pub revision: i64,
}

impl Store {
    /// The settings in `vault`.
    ///
    /// # Errors
    /// None in practice: the names of its namespaces are in order.
    pub fn new(
        vault: Vault,
        keys: Keys,
        log_completions_folder: String,
    ) -> Result<Self, strongroom_vault::Error> {
        let shelf = VaultShelf {
            vault,
            spaces: Spaces::new()?,
        };
        let (waiting, turn, masked) = (Mutex::default(), Mutex::default(), Masked::default());
        Ok(Self {
            shelf,
            keys,
            agent_schema: OnceLock::new(),
            log_completions_folder,
            waiting,
            turn,
            masked,
        })
    }

    /// The keys of tokens.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// `GET /api/settings/agent-schema`.
    #[must_use]
    pub fn agent_schema(&self) -> &[u8] {
        let made = || agent_schema(&self.log_completions_folder);
        self.agent_schema.get_or_init(made).expose()
    }

    /// The vault underneath.
    #[must_use]
    pub fn vault(&self) -> &Vault {
        &self.shelf.vault
    }

    /// Runs a call that only reads.
    ///
    /// # Errors
    /// Those of the call.
    pub fn read<T>(
        &self,
        call: impl FnOnce(&Desk<'_>) -> Result<T, SettingsError>,
    ) -> Result<T, SettingsError> {
        self.with_site(|site| call(&Desk::new(&self.shelf, site)))
    }

    /// The settings as `expose` says; masked ones come from memory while nothing changes.
    ///
    /// # Errors
    /// As [`Desk::view`].
    pub fn view(&self, expose: Expose<'_>) -> Result<Shown, SettingsError> {
        let generation = self.masked.generation.load(Ordering::Acquire);
        let masked = matches!(expose, Expose::Masked);
        if let (true, Some(kept)) = (masked, &*lock(&self.masked.kept)) {
            return Ok(kept.copy());
        }
        let shown = self.read(|desk| {
            let settings = desk.settings()?;
            Ok(Shown {
                body: settings.answer(expose)?.to_bytes(),
                revision: settings.revision,
            })
        })?;
        // Settings that were never stored show the time of the request.
        if masked && shown.revision > 0 {
            let mut kept = lock(&self.masked.kept);
            if self.masked.generation.load(Ordering::Acquire) == generation {
                *kept = Some(shown.copy());
            }
        }
        Ok(shown)
    }

    /// As [`change_by`](Self::change_by), by this program itself.
    ///
    /// # Errors
    /// As there.
    pub fn change<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Desk<'_>) -> Result<T, SettingsError> + Send + 'static,
    ) -> Result<T, SettingsError> {
        self.change_by(Who::server(), call)
    }

    /// Runs a call of `who` that may change something. On return its changes are on disk, and in the audit trail.
    ///
    /// # Errors
    /// Those of the call; [`SettingsError::Busy`] when too many wait; [`SettingsError::Shelf`] when the changes
    /// could not be stored.
    pub fn change_by<T: Send + 'static>(
        &self,
        who: Who,
        call: impl FnOnce(&mut Desk<'_>) -> Result<T, SettingsError> + Send + 'static,
    ) -> Result<T, SettingsError> {
        let slot = Arc::new(Slot(Mutex::new(None)));
        let place = slot.clone();
        let call: Work = Box::new(move |desk| {
            let answer = call(desk);
            Box::new(move |failure| {
                let answer = match (answer, failure) {
                    (Ok(_), Some(error)) => Err(ShelfError::new(error.clone()).into()),
                    (answer, _) => answer,
                };
                *lock(&place.0) = Some(answer);
            })
        });
        {
            let mut waiting = lock(&self.waiting);
            if waiting.len() >= SETTINGS_CALLS_MAX {
                return Err(SettingsError::Busy);
            }
            waiting.push(Job { who, call });
        }
        let turn = lock(&self.turn);
        if let Some(answer) = lock(&slot.0).take() {
            // Somebody who had the turn before did it.
            return answer;
        }
        let jobs = std::mem::take(&mut *lock(&self.waiting));
        self.run(jobs);
        drop(turn);
        // A call that panicked took the others' answers with it.
        let lost = || ShelfError::new("a call of the settings ended without an answer");
        lock(&slot.0).take().unwrap_or_else(|| Err(lost().into()))
    }

    fn run(&self, jobs: Vec<Job>) {
        let mut touched = Vec::new();
        let (finishes, changes) = self.with_site(|site| {
            let mut desk = Desk::new(&self.shelf, site);
            let mut finishes: Vec<Finish> = Vec::with_capacity(jobs.len());
            for Job { who, call } in jobs {
                finishes.push(call(&mut desk));
                let places = desk.touched().into_iter();
                touched.extend(places.map(|(place, kept)| (who.clone(), place, kept)));
            }
            (finishes, desk.changes())
        });
        let failure = if changes.is_empty() {
            None
        } else {
            self.commit(changes, touched).err().map(Arc::new)
        };
        for finish in finishes {
            finish(failure.as_ref());
        }
    }

    fn commit(
        &self,
        changes: Vec<Change>,
        touched: Vec<(Who, Place, bool)>,
    ) -> Result<(), strongroom_vault::Error> {
        let spaces = &self.shelf.spaces;
        let mut transaction = spaces.with_changes(Transaction::new(), changes)?;
        for (who, place, kept) in touched {
            let (space, name) = spaces.place(&place)?;
            let operation = if kept {
                Operation::Write
            } else {
                Operation::Delete
            };
            transaction = transaction.audit(&who, operation, space, &name);
        }
        let stored = self.shelf.vault.commit(transaction);
        let mut kept = lock(&self.masked.kept);
        self.masked.generation.fetch_add(1, Ordering::AcqRel);
        *kept = None;
        stored.map(drop)
    }

    /// Forgets what was kept of the settings, after they were changed past this store.
    pub(crate) fn forget(&self) {
        let mut kept = lock(&self.masked.kept);
        self.masked.generation.fetch_add(1, Ordering::AcqRel);
        *kept = None;
    }

    /// Holds back all changes as long as the guard lives.
    pub(crate) fn hold(&self) -> MutexGuard<'_, ()> {
        lock(&self.turn)
    }

    /// Reads a state directory under `keys`.
    ///
    /// # Errors
    /// As [`openhands::import`].
    pub fn import(&self, dir: &Path, keys: &Keys) -> Result<(State, Report), ImportError> {
        self.with_site(|site| openhands::import(dir, &Site { keys, ..*site }))
    }

    /// Writes a state directory under `keys`.
    ///
    /// # Errors
    /// As [`openhands::export`].
    pub fn export(&self, dir: &Path, state: &State, keys: &Keys) -> Result<(), ExportError> {
        self.with_site(|site| openhands::export(dir, state, &Site { keys, ..*site }))
    }

    fn with_site<T>(&self, call: impl FnOnce(&Site<'_>) -> T) -> T {
        let now = now();
        call(&Site {
            keys: &self.keys,
            now: &now,
            log_completions_folder: &self.log_completions_folder,
        })
    }
}

impl Shown {
    fn copy(&self) -> Self {
        Self {
            body: Plaintext::copy_of(self.body.expose()),
            revision: self.revision,
        }
    }
}

/// A poisoned lock protects nothing that a panic could have left half done: jobs are taken whole, answers and
/// the cache are replaced whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The vault as a shelf.
struct VaultShelf {
    vault: Vault,
    spaces: Spaces,
}

impl Shelf for VaultShelf {
    fn load(&self, place: &Place) -> Result<Option<Plaintext>, ShelfError> {
        let (space, name) = self.spaces.place(place).map_err(ShelfError::new)?;
        let value = self.vault.value(space, &name).map_err(ShelfError::new)?;
        Ok(value.map(|value| value.bytes))
    }

    fn names(&self, kind: ProfileKind) -> Result<Vec<String>, ShelfError> {
        let most = strongroom_vault::limits::PAGE_ENTRIES_MAX;
        let page = self
            .vault
            .list(self.spaces.of(kind), None, most)
            .map_err(ShelfError::new)?;
        Ok(page
            .records
            .into_iter()
            .map(|record| record.name.as_str().to_owned())
            .collect())
    }
}

/// The time as an agent is told it: UTC, six digits, `Z`.
#[must_use]
pub fn now() -> String {
    timestamp(SystemTime::now())
}

/// A time in UTC, as RFC 3339 writes it, with six digits of the second.
#[must_use]
pub fn timestamp(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // Days to year, month and day: H. Hinnant, "chrono-compatible low-level date algorithms".
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}.{:06}Z",
        second % 60,
        since.subsec_micros()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Json;
    use strongroom_vault::Options;

    fn store() -> Store {
        let vault = Vault::in_memory(&Options::default()).unwrap();
        Store::new(vault, Keys::none(), "logs/completions".to_owned()).unwrap()
    }

    fn patch(store: &Store, body: &str) -> Result<i64, SettingsError> {
        let body = Json::parse(body.as_bytes()).unwrap();
        store.change(move |desk| {
            desk.patch(Some(&body))?;
            desk.revision()
        })
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        let at = |seconds: u64, micros: u32| {
            timestamp(UNIX_EPOCH + Duration::new(seconds, micros * 1_000))
        };
        assert_eq!(at(0, 0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(at(951_782_400, 1), "2000-02-29T00:00:00.000001Z");
        assert_eq!(at(1_735_689_599, 999_999), "2024-12-31T23:59:59.999999Z");
    }

    #[test]
    fn every_one_of_many_writers_is_stored_and_counted() {
        let store = store();
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let store = &store;
                scope.spawn(move || {
                    for turn in 0..20 {
                        let body =
                            format!(r#"{{"misc_settings_diff":{{"w{writer}":{{"t{turn}":1}}}}}}"#);
                        patch(store, &body).unwrap();
                    }
                });
            }
        });
        let shown = store.view(Expose::Masked).unwrap();
        assert_eq!(shown.revision, 160);
        let misc = Json::parse(shown.body.expose()).unwrap();
        let misc = misc.get("misc_settings").unwrap();
        for writer in 0..8 {
            assert_eq!(
                misc.get(&format!("w{writer}"))
                    .unwrap()
                    .as_object()
                    .unwrap()
                    .len(),
                20
            );
        }
        assert_eq!(store.vault().records(), 1);
    }

    #[test]
    fn what_is_kept_of_the_settings_is_never_old() {
        let store = store();
        for turn in 1..5_u64 {
            patch(
                &store,
                &format!(r#"{{"misc_settings_diff":{{"turn":{turn}}}}}"#),
            )
            .unwrap();
            for _ in 0..2 {
                let shown = Json::parse(store.view(Expose::Masked).unwrap().body.expose()).unwrap();
                assert!(
                    shown
                        .get("misc_settings")
                        .unwrap()
                        .get("turn")
                        .unwrap()
                        .same(&Json::from(turn))
                );
            }
        }
    }

    #[test]
    fn a_refused_call_stores_nothing_and_a_panic_stops_nobody() {
        let store = store();
        assert!(
            patch(
                &store,
                r#"{"conversation_settings_diff":{"max_iterations":0}}"#
            )
            .is_err()
        );
        assert_eq!(store.vault().records(), 0);
        let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            store.change(|_| -> Result<(), SettingsError> {
                std::panic::resume_unwind(Box::new(()))
            })
        }));
        assert!(died.is_err());
        assert_eq!(
            patch(&store, r#"{"misc_settings_diff":{"a":1}}"#).unwrap(),
            1
        );
    }

    #[test]
    fn a_stale_revision_is_refused() {
        let store = store();
        patch(&store, r#"{"misc_settings_diff":{"a":1}}"#).unwrap();
        let refused = store.change(|desk| desk.expect(0));
        assert!(matches!(refused, Err(SettingsError::Stale)));
        assert!(store.change(|desk| desk.expect(1)).is_ok());
    }

    #[test]
    fn each_caller_is_in_the_audit_trail_with_what_it_changed() {
        use strongroom_vault::audit::{Filter, Order};
        let store = store();
        let body = Json::parse(br#"{"llm":{"model":"m"}}"#).unwrap();
        let save = move |desk: &mut Desk<'_>| desk.save_llm_profile("fast", Some(&body)).map(drop);
        store.change_by(Who::key("1"), save).unwrap();
        let gone = |desk: &mut Desk<'_>| desk.delete_llm_profile("fast").map(drop);
        store.change_by(Who::key("2"), gone).unwrap();
        // Whoever changes nothing has no part in it.
        let _ = store.change_by(Who::key("3"), gone);
        let vault = store.vault();
        let page = vault
            .accesses(&Filter::default(), Order::OldestFirst, None, 10)
            .unwrap();
        let told: Vec<_> = page
            .entries
            .iter()
            .map(|one| {
                let (space, name) = (one.namespace.as_ref().unwrap(), one.name.as_ref().unwrap());
                format!("{} {} {space}/{name}", one.who.name(), one.operation)
            })
            .collect();
        let expected = [
            "key:1 write llm-profiles/fast",
            "key:2 delete llm-profiles/fast",
        ];
        assert_eq!(told, expected);
    }
}

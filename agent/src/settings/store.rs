//! Settings and profiles in the vault.
//!
//! Changes are combined: whoever comes first runs every call that is waiting at one [`Desk`], in order, stores
//! all their changes in one durable commit, and wakes each caller with its own answer. So a lone PATCH costs
//! one commit and no hand-over, and sixteen at once cost one commit too.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use strongroom_vault::audit::{Event, Operation, Verdict, Who};
use strongroom_vault::{Plaintext, Transaction, Vault};

use super::desk::{Change, Desk, Place, ShelfError};
use super::masks::{Masks, each_version};
use super::{Expose, SettingsError, Site, agent_schema};
use crate::fernet::Keys;
use crate::lender::Lender;
use crate::limits::SETTINGS_CALLS_MAX;
use crate::openhands::{self, ExportError, ImportError, Report, State};

mod spaces;

pub(crate) use spaces::Spaces;
use spaces::VaultShelf;

/// See the module.
pub struct Store {
    shelf: VaultShelf,
    keys: Keys,
    log_completions_folder: String,
    /// Made when it is first asked for.
    agent_schema: OnceLock<Plaintext>,
    queue: Mutex<Queue>,
    /// Held while changes are made: by the one caller that leads, or by whoever holds them back.
    turn: Mutex<()>,
    masked: Masked,
    masks: OnceLock<Masks>,
}

/// Calls that nobody has begun yet.
#[derive(Default)]
struct Queue {
    waiting: Vec<(Job, Thread)>,
    /// Whether a caller is at work for all.
    led: bool,
}

/// A call with its caller.
struct Job {
    who: Who,
    call: Work,
}

/// A call that gives its answer once it is known whether its changes were stored.
type Work = Box<dyn FnOnce(&mut Desk<'_>) -> Finish + Send>;
type Finish = Box<dyn FnOnce(Option<&Failure>) + Send>;
/// Why changes were not stored: of the vault, or of the masks.
type Failure = Arc<dyn std::error::Error + Send + Sync>;
type Slot<T> = Mutex<Option<Result<T, SettingsError>>>;

/// An answer that somebody waits for. Dropped without one (a call in its batch panicked), it says so.
struct Owed<T> {
    /// `None` once it is given.
    slot: Option<Arc<Slot<T>>>,
    owner: Thread,
}

impl<T> Owed<T> {
    fn give(&mut self, answer: impl FnOnce() -> Result<T, SettingsError>) {
        if let Some(slot) = self.slot.take() {
            *lock(&slot) = Some(answer());
            self.owner.unpark();
        }
    }
}

impl<T> Drop for Owed<T> {
    fn drop(&mut self) {
        self.give(|| Err(ShelfError::new("a call of the settings ended without an answer").into()));
    }
}

/// The lead, given to the first who waits when it ends, however it ends.
struct Lead<'s>(&'s Mutex<Queue>);

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        let mut queue = lock(self.0);
        queue.led = false;
        if let Some((_, next)) = queue.waiting.first() {
            next.unpark();
        }
    }
}

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
        let (queue, turn, masked) = (Mutex::default(), Mutex::default(), Masked::default());
        Ok(Self {
            shelf,
            keys,
            agent_schema: OnceLock::new(),
            log_completions_folder,
            queue,
            turn,
            masked,
            masks: OnceLock::new(),
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

    /// From now on every secret of a change is known to `lender` before it is stored. The first call counts.
    pub fn mask_with(&self, lender: Lender) {
        self.masks.get_or_init(|| Masks::new(lender));
    }

    /// Makes all secrets that are stored known to the lender of [`mask_with`](Self::mask_with), in all versions that
    /// the vault keeps. From then on a change whose secrets can't be masked is refused.
    ///
    /// # Errors
    /// [`secrets::Error::Vault`](crate::secrets::Error::Vault) and [`Mask`](crate::secrets::Error::Mask).
    pub fn learn_all(&self) -> Result<(), crate::secrets::Error> {
        let Some(masks) = self.masks.get() else {
            return Ok(());
        };
        let shelf = &self.shelf;
        self.with_site(|site| masks.learn_all(&shelf.vault, &shelf.spaces, site))
    }

    /// All secrets of the settings and profiles, in all versions that the vault keeps: for a redactor elsewhere. The
    /// audit trail says of each record with secrets that `who` read it.
    ///
    /// # Errors
    /// When the vault cannot be read, or the entries not be written.
    pub fn credentials(&self, who: &Who) -> Result<Vec<Plaintext>, strongroom_vault::Error> {
        let VaultShelf { vault, spaces } = &self.shelf;
        let (mut found, mut places) = (Vec::new(), BTreeSet::new());
        self.with_site(|site| {
            each_version(vault, spaces, site, &mut |place, secrets| {
                if !secrets.is_empty() {
                    places.insert(place.clone());
                }
                found.extend(secrets);
            })
        })?;
        for place in places {
            let (space, name) = spaces.place(&place)?;
            vault.note(&Event {
                who,
                operation: Operation::Read,
                namespace: Some(space),
                name: Some(&name),
                version: None,
                verdict: Verdict::Done,
            })?;
        }
        Ok(found)
    }

    /// What makes secrets known before they are stored.
    pub(crate) fn masks(&self) -> Option<&Masks> {
        self.masks.get()
    }

    /// Makes the secrets of these changes known.
    pub(crate) fn expect(&self, changes: &[Change]) -> Result<(), crate::secrets::Error> {
        match self.masks.get() {
            Some(masks) => self.with_site(|site| masks.expect(changes, site)),
            None => Ok(()),
        }
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
        let slot = Arc::new(Slot::new(None));
        let mut owed = Owed {
            slot: Some(slot.clone()),
            owner: thread::current(),
        };
        let call: Work = Box::new(move |desk| {
            let answer = call(desk);
            Box::new(move |failure| {
                owed.give(|| match (answer, failure) {
                    (Ok(_), Some(error)) => Err(ShelfError::new(error.clone()).into()),
                    (answer, _) => answer,
                });
            })
        });
        {
            let mut queue = lock(&self.queue);
            if queue.waiting.len() >= SETTINGS_CALLS_MAX {
                return Err(SettingsError::Busy);
            }
            let job = Job { who, call };
            queue.waiting.push((job, thread::current()));
        }
        loop {
            if let Some(answer) = lock(&slot).take() {
                return answer;
            }
            if std::mem::replace(&mut lock(&self.queue).led, true) {
                // Woken when the answer is there or the lead is free; spurious wake-ups only loop.
                thread::park();
                continue;
            }
            let _lead = Lead(&self.queue);
            let _turn = lock(&self.turn);
            let jobs = std::mem::take(&mut lock(&self.queue).waiting);
            self.run(jobs);
        }
    }

    fn run(&self, jobs: Vec<(Job, Thread)>) {
        let mut touched = Vec::new();
        let (finishes, changes) = self.with_site(|site| {
            let mut desk = Desk::new(&self.shelf, site);
            let mut finishes: Vec<Finish> = Vec::with_capacity(jobs.len());
            for (Job { who, call }, _) in jobs {
                finishes.push(call(&mut desk));
                let places = desk.touched().into_iter();
                touched.extend(places.map(|(place, kept)| (who.clone(), place, kept)));
            }
            (finishes, desk.changes())
        });
        let failure = if changes.is_empty() {
            None
        } else {
            self.commit(changes, touched).err()
        };
        for finish in finishes {
            finish(failure.as_ref());
        }
    }

    fn commit(
        &self,
        changes: Vec<Change>,
        touched: Vec<(Who, Place, bool)>,
    ) -> Result<(), Failure> {
        self.expect(&changes).map_err(failed)?;
        let spaces = &self.shelf.spaces;
        let transaction = spaces.with_changes(Transaction::new(), changes);
        let mut transaction = transaction.map_err(failed)?;
        for (who, place, kept) in touched {
            let (space, name) = spaces.place(&place).map_err(failed)?;
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
        stored.map(drop).map_err(failed)
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

    pub(crate) fn with_site<T>(&self, call: impl FnOnce(&Site<'_>) -> T) -> T {
        let now = now();
        call(&Site {
            keys: &self.keys,
            now: &now,
            log_completions_folder: &self.log_completions_folder,
        })
    }
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Arc::new(error)
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
mod tests;

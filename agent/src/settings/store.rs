//! Settings and profiles in the vault.
//!
//! Changes are combined: whoever comes first leads, which is to run every call that is waiting at one [`Desk`], in
//! order, to store all their changes in one durable commit, and to give each its own answer, until nobody waits. So a
//! lone PATCH costs one commit and no hand-over, and sixteen at once cost one commit and one thread too.

use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use strongroom_vault::audit::{Event, Operation, Verdict, Who};
use strongroom_vault::{Plaintext, Transaction, Vault};

use super::desk::{Change, Desk, Left, Place, ShelfError};
use super::masks::{Masks, each_version};
use super::{Expose, Settings, SettingsError, Site, agent_schema};
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
    /// Held while changes are made: by the one who leads, or by whoever holds them back. In it the settings
    /// as the last change left them, so that the next patch need not read them again.
    turn: Mutex<Option<Settings>>,
    masked: Masked,
    masks: OnceLock<Masks>,
}

/// Calls that nobody has begun yet.
#[derive(Default)]
struct Queue {
    waiting: Vec<Job>,
    /// Whether somebody is at work for all.
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

/// An answer that somebody waits for. Dropped without one (a call in its batch panicked), it says so.
struct Owed<F, T>
where
    F: FnOnce(Result<T, SettingsError>),
{
    /// `None` once it is given.
    take: Option<F>,
    of: PhantomData<fn(T)>,
}

impl<F, T> Owed<F, T>
where
    F: FnOnce(Result<T, SettingsError>),
{
    fn new(take: F) -> Self {
        Self {
            take: Some(take),
            of: PhantomData,
        }
    }

    fn give(&mut self, answer: Result<T, SettingsError>) {
        if let Some(take) = self.take.take() {
            take(answer);
        }
    }
}

impl<F, T> Drop for Owed<F, T>
where
    F: FnOnce(Result<T, SettingsError>),
{
    fn drop(&mut self) {
        self.give(Err(ShelfError::new(
            "a call of the settings ended without an answer",
        )
        .into()));
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

    /// Makes the secrets of these changes known; `settings` is what a change of the settings holds, if that is open.
    pub(crate) fn expect(
        &self,
        changes: &[Change],
        settings: Option<&Settings>,
    ) -> Result<(), crate::secrets::Error> {
        match self.masks.get() {
            Some(masks) => self.with_site(|site| masks.expect(changes, settings, site)),
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
    /// could not be stored, or a call that was to be stored with them panicked.
    pub fn change_by<T: Send + 'static>(
        &self,
        who: Who,
        call: impl FnOnce(&mut Desk<'_>) -> Result<T, SettingsError> + Send + 'static,
    ) -> Result<T, SettingsError> {
        let slot = Arc::new(Mutex::new(None));
        let (filled, caller) = (slot.clone(), thread::current());
        let leads = self.submit(who, call, move |answer| {
            *lock(&filled) = Some(answer);
            caller.unpark();
        })?;
        if leads {
            self.lead();
        }
        loop {
            if let Some(answer) = lock(&slot).take() {
                return answer;
            }
            thread::park();
        }
    }

    /// Has a call of `who` run, which may change something, and hands its answer to `answer` when its changes are on
    /// disk, and in the audit trail. Says whether the caller must see to it that [`lead`](Self::lead) runs, on a
    /// thread that may block.
    ///
    /// # Errors
    /// [`SettingsError::Busy`] when too many wait. The answer has the errors of [`change_by`](Self::change_by).
    pub fn submit<T: Send + 'static>(
        &self,
        who: Who,
        call: impl FnOnce(&mut Desk<'_>) -> Result<T, SettingsError> + Send + 'static,
        answer: impl FnOnce(Result<T, SettingsError>) + Send + 'static,
    ) -> Result<bool, SettingsError> {
        let mut owed = Owed::new(answer);
        let call: Work = Box::new(move |desk| {
            let answer = call(desk);
            Box::new(move |failure| {
                owed.give(match (answer, failure) {
                    (Ok(_), Some(error)) => Err(ShelfError::new(error.clone()).into()),
                    (answer, _) => answer,
                });
            })
        });
        let mut queue = lock(&self.queue);
        if queue.waiting.len() >= SETTINGS_CALLS_MAX {
            return Err(SettingsError::Busy);
        }
        queue.waiting.push(Job { who, call });
        Ok(!std::mem::replace(&mut queue.led, true))
    }

    /// Runs the calls that wait, until none does. For whom [`submit`](Self::submit) told to.
    pub fn lead(&self) {
        loop {
            let mut turn = lock(&self.turn);
            let jobs = {
                let mut queue = lock(&self.queue);
                if queue.waiting.is_empty() {
                    queue.led = false;
                    return;
                }
                std::mem::take(&mut queue.waiting)
            };
            let settings = turn.take();
            // Whoever waited for the batch is told by what it was owed; the next one has nothing to do with it.
            let run = catch_unwind(AssertUnwindSafe(|| self.run(jobs, settings)));
            *turn = run.ok().flatten();
        }
    }

    /// Runs calls over the settings as they are; gives them as they are then.
    fn run(&self, jobs: Vec<Job>, settings: Option<Settings>) -> Option<Settings> {
        let mut touched = Vec::new();
        let (finishes, left) = self.with_site(|site| {
            let mut desk = Desk::new(&self.shelf, site).with_settings(settings);
            let mut finishes: Vec<Finish> = Vec::with_capacity(jobs.len());
            for Job { who, call } in jobs {
                finishes.push(call(&mut desk));
                let places = desk.touched().into_iter();
                touched.extend(places.map(|(place, kept)| (who.clone(), place, kept)));
            }
            (finishes, desk.leave())
        });
        let Left { changes, settings } = left;
        let failure = if changes.is_empty() {
            None
        } else {
            self.commit(changes, settings.as_ref(), touched).err()
        };
        for finish in finishes {
            finish(failure.as_ref());
        }
        // What could not be stored is not what the settings are.
        settings.filter(|_| failure.is_none())
    }

    fn commit(
        &self,
        changes: Vec<Change>,
        settings: Option<&Settings>,
        touched: Vec<(Who, Place, bool)>,
    ) -> Result<(), Failure> {
        self.expect(&changes, settings).map_err(failed)?;
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
        self.forget();
        stored.map(drop).map_err(failed)
    }

    /// Runs a call that changes the settings past this store, and holds back all others meanwhile.
    pub(crate) fn past<T>(&self, call: impl FnOnce() -> T) -> T {
        let mut turn = lock(&self.turn);
        *turn = None;
        let done = call();
        self.forget();
        done
    }

    /// Holds back all changes as long as the guard lives.
    pub(crate) fn hold(&self) -> impl Sized + '_ {
        lock(&self.turn)
    }

    /// Forgets the masked settings.
    fn forget(&self) {
        let mut kept = lock(&self.masked.kept);
        self.masked.generation.fetch_add(1, Ordering::AcqRel);
        *kept = None;
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

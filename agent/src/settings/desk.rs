//! Where settings and profiles lie, and the desk on which a call changes them.
//!
//! A call reads through the [`Desk`] and lays its changes on it. They are seen by later calls at the same desk
//! and stored together by whoever made it, so several waiting requests can share one durable commit. A call
//! that fails leaves nothing on the desk.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;

use strongroom_vault::Plaintext;

use super::field::{Anything, Field, Reading, Source};
use super::model::refuse_other;
use super::{Expose, Settings, SettingsError, Site};
use crate::json::{Json, Object, Text};

/// The kinds of profiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProfileKind {
    /// A language model.
    Llm,
    /// An agent.
    Agent,
    /// A way to choose a model.
    Meta,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The settings.
    Settings,
    /// One profile by its kind and name.
    Profile(ProfileKind, String),
}

/// What lies under the desk: the vault, or memory in tests.
pub trait Shelf {
    /// The record at `place`.
    ///
    /// # Errors
    /// When it cannot be read.
    fn load(&self, place: &Place) -> Result<Option<Plaintext>, ShelfError>;

    /// The names of all profiles of a kind, in any order.
    ///
    /// # Errors
    /// When they cannot be read.
    fn names(&self, kind: ProfileKind) -> Result<Vec<String>, ShelfError>;
}

/// A failure of the store. Whatever is in it goes to the log, never to a client.
#[derive(Debug)]
pub struct ShelfError(Box<dyn Error + Send + Sync>);

impl ShelfError {
    /// Wraps the store's own error.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(error.into())
    }
}

impl fmt::Display for ShelfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the store of the settings failed")
    }
}

impl Error for ShelfError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

/// One record to be written, or deleted when there is no content.
pub struct Change {
    /// Which one.
    pub place: Place,
    /// What it is from now on.
    pub content: Option<Plaintext>,
}

/// What a desk leaves.
#[derive(Default)]
pub struct Left {
    /// To be stored all or nothing.
    pub changes: Vec<Change>,
    /// The settings as they are once the changes are stored, if somebody had them open.
    pub(crate) settings: Option<Settings>,
}

/// The body of a request, once it is known to be JSON or to be missing.
pub type Body<'b> = Option<&'b Json>;

/// See the module.
pub struct Desk<'a> {
    shelf: &'a dyn Shelf,
    pub(crate) site: &'a Site<'a>,
    staged: BTreeMap<Place, Option<Plaintext>>,
    /// The settings as they are on the shelf, or as the patches at this desk left them: then newer than their record,
    /// which is written once for all of them. Gone when another call put a record of its own.
    open: Option<Settings>,
    /// Whether patches changed them.
    patched: bool,
    /// The revision of the settings that lie on the desk.
    revision: Option<i64>,
    /// Of the call that is running.
    pending: BTreeMap<Place, Option<Plaintext>>,
    /// What the last calls changed, for the audit trail.
    touched: Vec<(Place, bool)>,
}

impl<'a> Desk<'a> {
    /// An empty desk.
    #[must_use]
    pub fn new(shelf: &'a dyn Shelf, site: &'a Site<'a>) -> Self {
        Self {
            shelf,
            site,
            staged: BTreeMap::new(),
            open: None,
            patched: false,
            revision: None,
            pending: BTreeMap::new(),
            touched: Vec::new(),
        }
    }

    /// A desk with the settings open on it, as they are on the shelf.
    pub(crate) fn with_settings(mut self, settings: Option<Settings>) -> Self {
        self.open = settings;
        self
    }

    /// What was changed since this was last asked, and whether it is still there.
    pub(crate) fn touched(&mut self) -> Vec<(Place, bool)> {
        std::mem::take(&mut self.touched)
    }

    /// What the calls at this desk changed.
    #[must_use]
    pub fn leave(mut self) -> Left {
        if let (Some(settings), true) = (&self.open, self.patched) {
            self.staged
                .insert(Place::Settings, Some(settings.to_record()));
        }
        let changes = self.staged.into_iter();
        Left {
            changes: changes
                .map(|(place, content)| Change { place, content })
                .collect(),
            settings: self.open,
        }
    }

    /// The settings.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn settings(&self) -> Result<Settings, SettingsError> {
        let read = |record: &[u8]| Settings::from_record(record, self.site);
        let put = self.pending.contains_key(&Place::Settings);
        if let (Some(open), true, false) = (&self.open, self.patched, put) {
            return read(open.to_record().expose());
        }
        let stored = self.with_record(&Place::Settings, read)?;
        stored.unwrap_or_else(|| Settings::fresh(self.site))
    }

    /// `GET /api/settings`.
    ///
    /// # Errors
    /// As [`Settings::answer`].
    pub fn view(&self, expose: Expose<'_>) -> Result<Json, SettingsError> {
        self.settings()?.answer(expose)
    }

    /// Runs one call; if it fails, the desk is as before.
    pub(crate) fn attempt<T>(
        &mut self,
        call: impl FnOnce(&mut Self) -> Result<T, SettingsError>,
    ) -> Result<T, SettingsError> {
        self.pending.clear();
        let before = self.revision;
        match call(self) {
            Ok(done) => {
                if self.pending.contains_key(&Place::Settings) {
                    (self.open, self.patched) = (None, false);
                }
                let touched = self.pending.iter();
                let touched = touched.map(|(place, record)| (place.clone(), record.is_some()));
                self.touched.extend(touched);
                self.staged.append(&mut self.pending);
                Ok(done)
            }
            Err(error) => {
                self.pending.clear();
                self.revision = before;
                Err(error)
            }
        }
    }

    pub(crate) fn put(&mut self, place: Place, content: Plaintext) {
        self.pending.insert(place, Some(content));
    }

    pub(crate) fn delete(&mut self, place: Place) {
        self.pending.insert(place, None);
    }

    pub(crate) fn put_settings(&mut self, settings: &mut Settings) {
        settings.revision += 1;
        self.revision = Some(settings.revision);
        self.put(Place::Settings, settings.to_record());
    }

    /// Lends the settings to `patch`, which makes of them what is to be done to them, and does that, which
    /// cannot fail. A failed patch leaves them as they were.
    pub(crate) fn patch_settings<P, T>(
        &mut self,
        patch: impl FnOnce(&Self, &Settings) -> Result<P, SettingsError>,
        apply: impl FnOnce(P, &mut Settings) -> T,
    ) -> Result<(T, &Settings), SettingsError> {
        let mut settings = match self.open.take() {
            Some(settings) => settings,
            None => self.settings()?,
        };
        match patch(self, &settings) {
            Ok(patch) => {
                let done = apply(patch, &mut settings);
                settings.revision += 1;
                self.revision = Some(settings.revision);
                self.touched.push((Place::Settings, true));
                self.patched = true;
                Ok((done, self.open.insert(settings)))
            }
            Err(error) => {
                self.open = Some(settings);
                Err(error)
            }
        }
    }

    /// Counts the changes of the settings; 0 when there was none.
    ///
    /// # Errors
    /// When the settings cannot be read.
    pub fn revision(&self) -> Result<i64, SettingsError> {
        match (self.revision, &self.open) {
            (Some(revision), _) => Ok(revision),
            (None, Some(open)) => Ok(open.revision),
            (None, None) => Ok(self.settings()?.revision),
        }
    }

    /// Refuses to go on if the settings are of another revision.
    ///
    /// # Errors
    /// [`SettingsError::Stale`].
    pub fn expect(&self, revision: i64) -> Result<(), SettingsError> {
        if self.revision()? == revision {
            Ok(())
        } else {
            Err(SettingsError::Stale)
        }
    }

    /// Lends the record at `place`, whether it lies on the desk or on the shelf.
    pub(crate) fn with_record<T>(
        &self,
        place: &Place,
        read: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>, SettingsError> {
        match self.pending.get(place).or_else(|| self.staged.get(place)) {
            Some(record) => Ok(record.as_ref().map(|record| read(record.expose()))),
            None => Ok(self.shelf.load(place)?.map(|record| read(record.expose()))),
        }
    }

    pub(crate) fn has(&self, place: &Place) -> Result<bool, SettingsError> {
        Ok(self.with_record(place, |_| ())?.is_some())
    }

    /// The names of all profiles of a kind, in the order of their files (where `a-b.json` is before `a.json`).
    pub(crate) fn names(&self, kind: ProfileKind) -> Result<Vec<String>, SettingsError> {
        let mut names = self.shelf.names(kind)?;
        for (place, record) in self.staged.iter().chain(&self.pending) {
            let Place::Profile(of, name) = place else {
                continue;
            };
            if *of == kind {
                names.retain(|known| known != name);
                if record.is_some() {
                    names.push(name.clone());
                }
            }
        }
        names.sort_by_cached_key(|name| format!("{name}.json"));
        Ok(names)
    }

    /// Reads the fields of a request: `path` first, then the body.
    pub(crate) fn read_body<T: Field>(
        &self,
        body: Body<'_>,
        source: Source,
        path: impl FnOnce(&mut Reading<'_>),
    ) -> Result<T, SettingsError> {
        let mut run = Reading::new(self.site, source, "path");
        path(&mut run);
        let faults = std::mem::take(&mut run.faults);
        let mut run = Reading::new(self.site, source, "body");
        run.faults = faults;
        let read = match body {
            Some(body) if body.as_object().is_none() => refuse_other(T::veil(body), &mut run),
            Some(body) => T::read(body, None, &mut run),
            None => {
                let fault = run.fault("missing", "Field required", Json::Null);
                run.refuse(fault)
            }
        };
        match (read, run.unopened.pop()) {
            _ if !run.faults.is_empty() => Err(SettingsError::Fields(run.faults)),
            (_, Some(place)) => Err(SettingsError::Unopened(place)),
            (Some(read), None) => Ok(read),
            (None, None) => Err(SettingsError::Invalid),
        }
    }
}

impl Desk<'_> {
    /// Reads a body that is any object, which the reference reports as a dictionary.
    pub(crate) fn read_body_any(
        &self,
        body: Body<'_>,
        path: impl FnOnce(&mut Reading<'_>),
    ) -> Result<Anything, SettingsError> {
        match body {
            Some(body) if body.as_object().is_none() => {
                let nothing = Json::from(Object::new());
                let mut run = Reading::new(self.site, Source::Request, "body");
                let mut faults =
                    match self.read_body::<Anything>(Some(&nothing), Source::Request, path) {
                        Err(SettingsError::Fields(faults)) => faults,
                        _ => Vec::new(),
                    };
                Anything::read(body, None, &mut run);
                faults.append(&mut run.faults);
                Err(SettingsError::Fields(faults))
            }
            body => self.read_body(body, Source::Request, path),
        }
    }
}

/// The members that every answer about one profile begins with.
pub(crate) fn named(name: &str, message: &str) -> Object {
    let mut answer = Object::with_capacity(3);
    answer.insert("name", Json::Text(Text::copy_of(name)));
    answer.insert("message", Json::text(message));
    answer
}

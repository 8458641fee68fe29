//! The mark: a field of type `Option<Secret>` or `Secrets` holds secrets, and nothing else does.

use std::cell::{Cell, RefCell};

use strongroom_vault::never_impl;

use super::fault::hidden;
use super::field::{Field, Map, Reading, Source};
use crate::fernet::{self, Keys};
use crate::json::{Json, Text};
use crate::limits::MASKED_VALUE_BYTES_MAX;

/// What stands for a secret that is set.
pub const MASK: &str = "**********";

/// How the secrets of a document are shown.
#[derive(Clone, Copy)]
pub enum Expose<'k> {
    /// Ten stars for each one that is set.
    Masked,
    /// The values: for the client that asked for them, and for the sealed record.
    Plain,
    /// Fernet tokens under these keys, if there are any.
    Encrypted(&'k Keys),
    /// Nothing: null for each one, and maps without them.
    Absent,
}

/// What is done with a secret that is met.
type Visit<'k> = &'k mut dyn FnMut(&str);

/// One showing: how, whether it could be done, and who wants to see the secrets that are met.
pub(crate) struct View<'k> {
    expose: Expose<'k>,
    keyless: Cell<bool>,
    visit: Option<RefCell<Visit<'k>>>,
}

impl<'k> View<'k> {
    pub(crate) fn new(expose: Expose<'k>) -> Self {
        Self {
            expose,
            keyless: Cell::new(false),
            visit: None,
        }
    }

    /// A masked view that lends every secret to `visit`.
    pub(crate) fn visiting(visit: &'k mut dyn FnMut(&str)) -> Self {
        Self {
            visit: Some(RefCell::new(visit)),
            ..Self::new(Expose::Masked)
        }
    }

    /// Whether a token was wanted and there was no key to make it with.
    pub(crate) fn keyless(&self) -> bool {
        self.keyless.get()
    }

    /// Whether secrets are left out.
    pub(crate) fn leaves_out(&self) -> bool {
        matches!(self.expose, Expose::Absent)
    }

    /// A secret as it is shown.
    pub(crate) fn secret(&self, secret: &str) -> Json {
        self.meet(secret);
        match self.expose {
            Expose::Masked => Json::text(MASK),
            Expose::Plain => Json::text(secret),
            Expose::Absent => Json::Null,
            Expose::Encrypted(keys) => match keys.make(secret.as_bytes()) {
                Some(token) => Json::Text(token),
                None => {
                    self.keyless.set(true);
                    Json::Null
                }
            },
        }
    }

    fn meet(&self, secret: &str) {
        if let Some(visit) = &self.visit {
            (*visit.borrow_mut())(secret);
        }
    }
}

/// One secret of the settings, wiped on drop.
pub struct Secret(Text);

impl Secret {
    /// The only way to the value.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

never_impl!(Secret: std::fmt::Debug, std::fmt::Display, Clone, AsRef<str>, std::ops::Deref, PartialEq);

/// A map of secrets: `env`, `headers`.
pub type Secrets = Map<Secret>;

/// Reads a text that was sent to a secret field. `Some(None)`: the field is not set.
fn read_text(text: &str, base: Option<&Json>, run: &mut Reading<'_>) -> Option<Option<Secret>> {
    let keep = |text: &str| Some(Some(Secret(Text::copy_of(text))));
    let stored = base.and_then(Json::as_text);
    if run.source == Source::Stored || stored == Some(text) {
        // What is in its place already is the value itself: it is not looked at again, even if it happens to
        // begin like a token.
        return if text.is_empty() {
            Some(None)
        } else {
            keep(text)
        };
    }
    if text == MASK {
        // The mask comes back from a client that read and edited the document: what it hides stays.
        return stored.map_or(Some(None), keep);
    }
    if text.trim().is_empty() {
        return Some(None);
    }
    if !fernet::looks_like_token(text) || run.site.keys.is_empty() {
        return keep(text);
    }
    match run.site.keys.open(text) {
        Some(opened) => match std::str::from_utf8(opened.expose()) {
            Ok(opened) if opened.trim().is_empty() || opened == MASK => Some(None),
            Ok(opened) => keep(opened),
            Err(_) => unopened(run),
        },
        None if run.source == Source::ProfileRequest => keep(text),
        None => unopened(run),
    }
}

/// Reports a token that opens under no key; the whole reading counts as failed.
fn unopened(run: &mut Reading<'_>) -> Option<Option<Secret>> {
    let place = run.place();
    run.unopened.push(place);
    Some(None)
}

impl Field for Secret {
    const SECRET: bool = true;

    /// One that is not set is read as empty; [`Option<Secret>`] and [`Secrets`] leave it out instead.
    fn read(input: &Json, base: Option<&Json>, run: &mut Reading<'_>) -> Option<Self> {
        let read = Self::read_entry(input, base, run)?;
        Some(read.unwrap_or_else(|| Self(Text::copy_of(""))))
    }

    fn read_optional(
        input: &Json,
        base: Option<&Json>,
        run: &mut Reading<'_>,
    ) -> Option<Option<Self>> {
        if input.is_null() {
            Some(None)
        } else {
            Self::read_entry(input, base, run)
        }
    }

    fn read_entry(
        input: &Json,
        base: Option<&Json>,
        run: &mut Reading<'_>,
    ) -> Option<Option<Self>> {
        match input {
            Json::Text(text)
                if run.source != Source::Stored && text.expose().len() > MASKED_VALUE_BYTES_MAX =>
            {
                // What can't be masked is not to be used.
                let said = format!("String should have at most {MASKED_VALUE_BYTES_MAX} bytes");
                let fault = run.fault("string_too_long", &said, hidden(input));
                run.refuse(fault)
            }
            Json::Text(text) => read_text(text.expose(), base, run),
            _ => {
                let fault = run.fault(
                    "string_type",
                    "Input should be a valid string",
                    hidden(input),
                );
                run.refuse(fault)
            }
        }
    }

    fn show(&self, view: &View<'_>) -> Json {
        view.secret(self.expose())
    }

    fn veil(input: &Json) -> Json {
        hidden(input)
    }
}

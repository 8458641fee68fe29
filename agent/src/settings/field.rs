//! How one field is read, shown and reported: the trait behind every type of the settings.
//!
//! Reading follows the reference's lenient rules. It collects every fault instead of stopping at the first, in
//! the order of the model, and knows where it is, so that a fault can say so.

mod collection;
mod scalar;

pub use collection::{Anything, Map};

use super::Site;
use super::fault::{Fault, Step, cleaned};
use super::secret::View;
use crate::json::Json;

/// A type that a field of the settings can have.
pub(crate) trait Field: Sized {
    /// Whether it is a secret and nothing else.
    const SECRET: bool = false;

    /// Reads `input`; `base` is what is stored in this place now, in plain text. `None` when a fault was
    /// reported.
    fn read(input: &Json, base: Option<&Json>, run: &mut Reading<'_>) -> Option<Self>;

    /// Reads a field that may be null.
    fn read_optional(
        input: &Json,
        base: Option<&Json>,
        run: &mut Reading<'_>,
    ) -> Option<Option<Self>> {
        if input.is_null() {
            Some(None)
        } else {
            Self::read(input, base, run).map(Some)
        }
    }

    /// Reads an entry of a map; `Some(None)` leaves it out.
    fn read_entry(
        input: &Json,
        base: Option<&Json>,
        run: &mut Reading<'_>,
    ) -> Option<Option<Self>> {
        Self::read(input, base, run).map(Some)
    }

    /// The value as JSON, its secrets as `view` wants them: the one walk over the marks.
    fn show(&self, view: &View<'_>) -> Json;

    /// What a fault may show of something sent to a field of this type.
    fn veil(input: &Json) -> Json {
        cleaned(input)
    }

    /// Whether the value is within `rule`.
    fn obeys(&self, rule: &Rule) -> bool {
        let _ = rule;
        true
    }
}

/// Where what is read comes from, which decides about texts in secret fields.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// Our own sealed record: every text is the value itself.
    Stored,
    /// A request: tokens are opened, and one that does not open is refused.
    Request,
    /// A request that keeps a token which does not open as plain text (LLM profiles).
    ProfileRequest,
    /// A state file of the reference: tokens are opened, those that do not are reported by name.
    File,
}

/// One reading: what it may use, where it is, what it found.
pub(crate) struct Reading<'a> {
    pub(crate) site: &'a Site<'a>,
    pub(crate) source: Source,
    path: Vec<Step>,
    pub(crate) faults: Vec<Fault>,
    /// Ways to tokens that open under no key, names only.
    pub(crate) unopened: Vec<String>,
}

impl<'a> Reading<'a> {
    pub(crate) fn new(site: &'a Site<'a>, source: Source, root: &str) -> Self {
        Self {
            site,
            source,
            path: vec![Step::Name(root.to_owned().into())],
            faults: Vec::new(),
            unopened: Vec::new(),
        }
    }

    /// Reads something one step further down.
    pub(crate) fn at<T>(&mut self, step: Step, read: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(step);
        let read = read(self);
        self.path.pop();
        read
    }

    pub(crate) fn at_name<T>(&mut self, name: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        self.at(Step::Name(name.to_owned().into()), read)
    }

    /// A fault here; `input` must be cleaned already.
    pub(crate) fn fault(&self, kind: &'static str, msg: impl Into<String>, input: Json) -> Fault {
        Fault::new(kind, self.path.clone(), msg, input)
    }

    /// Reports a fault; `None` for the caller to give back.
    pub(crate) fn refuse<T>(&mut self, fault: Fault) -> Option<T> {
        self.faults.push(fault);
        None
    }

    pub(crate) fn refuse_value<T>(&mut self, text: &str, input: Json) -> Option<T> {
        let fault = self.fault("value_error", format!("Value error, {text}"), input);
        self.refuse(fault.with("error", Json::text(text)))
    }

    /// As [`Self::at_name`], for a member that a type names.
    pub(crate) fn at_field<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        self.at(Step::Name(name.into()), read)
    }

    pub(crate) fn at_tag<T>(&mut self, tag: &'static str, read: impl FnOnce(&mut Self) -> T) -> T {
        self.at(Step::Tag(tag), read)
    }

    /// The way to here in words: the members, joined by dots.
    pub(crate) fn place(&self) -> String {
        let names = self.path.iter().filter_map(|step| match step {
            Step::Name(name) if name == "body" => None,
            Step::Name(name) => Some(name.to_string()),
            Step::Index(index) => Some(index.to_string()),
            Step::Tag(_) => None,
        });
        names.collect::<Vec<_>>().join(".")
    }
}

/// A bound on a value.
pub(crate) enum Rule {
    AtLeast(f64),
    Above(f64),
    AtMost(f64),
    Below(f64),
    CharsMin(usize),
    CharsMax(usize),
    Match(&'static Pattern),
}

/// A text pattern: as it is shown, and what it means.
pub(crate) struct Pattern {
    pub(crate) text: &'static str,
    pub(crate) fits: fn(&str) -> bool,
}

impl Rule {
    /// Reports that `T` does not obey.
    pub(crate) fn refuse<T: Field>(&self, input: &Json, run: &mut Reading<'_>) {
        let fault = |kind, msg: String| run.fault(kind, msg, T::veil(input));
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let fault = match self {
            Self::AtLeast(least) => fault(
                "greater_than_equal",
                format!("Input should be greater than or equal to {least}"),
            )
            .with("ge", *least),
            Self::Above(least) => fault(
                "greater_than",
                format!("Input should be greater than {least}"),
            )
            .with("gt", *least),
            Self::AtMost(most) => fault(
                "less_than_equal",
                format!("Input should be less than or equal to {most}"),
            )
            .with("le", *most),
            Self::Below(most) => {
                fault("less_than", format!("Input should be less than {most}")).with("lt", *most)
            }
            Self::CharsMin(least) => fault(
                "string_too_short",
                format!(
                    "String should have at least {least} character{}",
                    plural(*least)
                ),
            )
            .with("min_length", *least as u64),
            Self::CharsMax(most) => fault(
                "string_too_long",
                format!(
                    "String should have at most {most} character{}",
                    plural(*most)
                ),
            )
            .with("max_length", *most as u64),
            Self::Match(pattern) => fault(
                "string_pattern_mismatch",
                format!("String should match pattern '{}'", pattern.text),
            )
            .with("pattern", Json::text(pattern.text)),
        };
        run.faults.push(fault);
    }

    pub(crate) fn allows(&self, number: f64) -> bool {
        match self {
            Self::AtLeast(least) => number >= *least,
            Self::Above(least) => number > *least,
            Self::AtMost(most) => number <= *most,
            Self::Below(most) => number < *most,
            Self::CharsMin(_) | Self::CharsMax(_) | Self::Match(_) => true,
        }
    }
}

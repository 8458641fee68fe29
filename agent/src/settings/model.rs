//! The two macros in which the documents are written down: objects with typed members, and words to choose
//! from. A member is a secret when its type is; nothing else says so.

use super::field::{Field, Reading, Rule};
use super::secret::View;
use crate::json::{Json, Key, Object};

/// What an object does with members that it does not know.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// Leaves them out.
    Dropped,
    /// Refuses them.
    Refused,
}

/// Looks at the input before its members are read; `false` when it reported a fault.
pub(crate) fn any_input(_: &Json, _: &mut Reading<'_>) -> bool {
    true
}

/// Looks at the whole once its members are read; `false` when it reported a fault.
pub(crate) fn any_value<M>(_: &mut M, _: &Json, _: &mut Reading<'_>) -> bool {
    true
}

/// The object around a member that is read.
#[derive(Clone, Copy)]
pub(crate) struct Around<'o> {
    /// Its members.
    pub(crate) members: &'o Object,
    /// What is stored in its place.
    pub(crate) base: Option<&'o Json>,
    /// What may be shown of it.
    pub(crate) veil: fn(&Json) -> Json,
    /// Itself.
    pub(crate) input: &'o Json,
}

/// Reads the member `name` of an object; `absent` gives its default, or `None` when there is none. A pointer and not a
/// closure's type, so that there is one of these for each type and not for each member of each model.
#[inline(never)]
pub(crate) fn read_member<T: Field>(
    name: &'static str,
    rules: &[Rule],
    absent: fn(&mut Reading<'_>) -> Option<T>,
    around: Around<'_>,
    run: &mut Reading<'_>,
) -> Option<T> {
    run.at_field(name, |run| {
        let Some(member) = around.members.get(name) else {
            let default = absent(run);
            if default.is_none() {
                let fault = run.fault("missing", "Field required", (around.veil)(around.input));
                run.faults.push(fault);
            }
            return default;
        };
        let value = T::read(member, around.base.and_then(|base| base.get(name)), run)?;
        match rules.iter().find(|rule| !value.obeys(rule)) {
            Some(rule) => {
                rule.refuse::<T>(member, run);
                None
            }
            None => Some(value),
        }
    })
}

/// Adds a member to what is shown; a lean object leaves out nulls and empty maps.
#[inline(never)]
pub(crate) fn show_member<T: Field>(
    name: &'static str,
    value: &T,
    lean: bool,
    view: &View<'_>,
    into: &mut Object,
) {
    let shown = value.show(view);
    let nothing = shown.is_null() || shown.as_object().is_some_and(Object::is_empty);
    if !(lean && nothing) {
        into.set(Key::Ours(name), shown);
    }
}

/// Reports that something is no object.
pub(crate) fn refuse_other<T>(veiled: Json, run: &mut Reading<'_>) -> Option<T> {
    let msg = "Input should be a valid dictionary or object to extract fields from";
    let fault = run.fault("model_attributes_type", msg, veiled);
    run.refuse(fault)
}

/// Reports members that are not known. What was sent is shown only if its name does not look secret.
pub(crate) fn refuse_unknown(members: &Object, names: &[&str], run: &mut Reading<'_>) {
    for (name, value) in members.iter().filter(|(name, _)| !names.contains(name)) {
        run.at_name(name, |run| {
            let shown = super::fault::cleaned_member(members, name, value);
            let fault = run.fault("extra_forbidden", "Extra inputs are not permitted", shown);
            run.faults.push(fault);
        });
    }
}

/// `model! { pub struct Name { unknown: .., lean: .., before: .., after: .. } member: Type where [rules] = absent; .. }`
///
/// `absent` is `required`, `{ a default }` or `(a closure over the reading)`. A lean object is shown without
/// nulls and empty maps. `before` and `after` look at the input and at the whole, for what concerns more than
/// one member.
macro_rules! model {
    (
        $(#[$meta:meta])*
        $vis:vis struct $Model:ident {
            unknown: $unknown:ident, lean: $lean:literal, before: $before:expr, after: $after:expr
        }
        $( $(#[$doc:meta])* $field:ident: $Type:ty $(where [$($rule:expr),+])? = $absent:tt; )*
    ) => {
        $(#[$meta])*
        $vis struct $Model {
            $( $(#[$doc])* pub $field: $Type, )*
        }

        impl $Model {
            /// The names of the members, in order.
            pub(crate) const NAMES: &'static [&'static str] =
                &[$( $crate::settings::model::name_of(stringify!($field)) ),*];
        }

        impl $crate::settings::field::Field for $Model {
            fn read(
                input: &$crate::json::Json,
                base: Option<&$crate::json::Json>,
                run: &mut $crate::settings::field::Reading<'_>,
            ) -> Option<Self> {
                use $crate::settings::model::{Around, Unknown, name_of, read_member, refuse_other, refuse_unknown};
                let Some(members) = input.as_object() else {
                    return refuse_other(<Self as $crate::settings::field::Field>::veil(input), run);
                };
                let before: fn(&$crate::json::Json, &mut $crate::settings::field::Reading<'_>) -> bool = $before;
                if !before(input, run) {
                    return None;
                }
                let around = Around {
                    members, base, input, veil: <Self as $crate::settings::field::Field>::veil,
                };
                let faults = run.faults.len();
                $(
                    let $field = read_member::<$Type>(
                        name_of(stringify!($field)), &[$($($rule),+)?], model!(@absent $absent), around, run,
                    );
                )*
                if Unknown::$unknown == Unknown::Refused {
                    refuse_unknown(members, Self::NAMES, run);
                }
                let mut whole = Self { $( $field: $field?, )* };
                let after: fn(&mut Self, &$crate::json::Json, &mut $crate::settings::field::Reading<'_>) -> bool = $after;
                (run.faults.len() == faults && after(&mut whole, input, run)).then_some(whole)
            }

            fn show(&self, view: &$crate::settings::secret::View<'_>) -> $crate::json::Json {
                let mut shown = $crate::json::Object::with_capacity(Self::NAMES.len());
                $( $crate::settings::model::show_member(
                    $crate::settings::model::name_of(stringify!($field)), &self.$field, $lean, view, &mut shown,
                ); )*
                shown.into()
            }

            fn veil(input: &$crate::json::Json) -> $crate::json::Json {
                let Some(members) = input.as_object() else {
                    return $crate::settings::fault::cleaned(input);
                };
                let mut shown = $crate::json::Object::with_capacity(members.len());
                for (name, value) in members.iter() {
                    let veiled = match name {
                        $( _ if name == $crate::settings::model::name_of(stringify!($field))
                            && !$crate::settings::fault::looks_secret(name)
                            && !["env", "headers"].contains(&name) =>
                            <$Type as $crate::settings::field::Field>::veil(value), )*
                        _ => $crate::settings::fault::cleaned_member(members, name, value),
                    };
                    shown.insert(name, veiled);
                }
                shown.into()
            }
        }
    };
    (@absent required) => { |_| None };
    (@absent { $default:expr }) => { |_| Some($default) };
    (@absent ( $closure:expr )) => { $closure };
}
pub(crate) use model;

/// The name of a member from the name of its field (`r#type` is `type`).
pub(crate) const fn name_of(field: &'static str) -> &'static str {
    match field.as_bytes() {
        [b'r', b'#', ..] => match field.split_at_checked(2) {
            Some((_, name)) => name,
            None => field,
        },
        _ => field,
    }
}

/// `choice! { /// .. pub enum Name { Variant = "word", .. } }`: one of a few words, the first by default.
macro_rules! choice {
    ($(#[$meta:meta])* pub enum $Choice:ident { $( $(#[$doc:meta])* $variant:ident = $word:literal, )+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $Choice { $( $(#[$doc])* #[doc = concat!("`", $word, "`")] $variant, )+ }

        impl $Choice {
            const WORDS: &'static [&'static str] = &[$($word),+];

            /// The word that stands for it on the wire.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $( Self::$variant => $word, )+ }
            }
        }

        impl $crate::settings::field::Field for $Choice {
            fn read(
                input: &$crate::json::Json,
                _: Option<&$crate::json::Json>,
                run: &mut $crate::settings::field::Reading<'_>,
            ) -> Option<Self> {
                match input.as_text() {
                    $( Some($word) => Some(Self::$variant), )+
                    _ => $crate::settings::model::refuse_word(input, Self::WORDS, run),
                }
            }

            fn show(&self, _: &$crate::settings::secret::View<'_>) -> $crate::json::Json {
                $crate::json::Json::text(self.word())
            }
        }
    };
}
pub(crate) use choice;

/// `'a', 'b' or 'c'`
pub(crate) fn one_of(words: &[&str]) -> String {
    match words {
        [all @ .., last] if !all.is_empty() => {
            let all: Vec<String> = all.iter().map(|word| format!("'{word}'")).collect();
            format!("{} or '{last}'", all.join(", "))
        }
        words => words.iter().map(|word| format!("'{word}'")).collect(),
    }
}

pub(crate) fn refuse_word<T>(input: &Json, words: &[&str], run: &mut Reading<'_>) -> Option<T> {
    let expected = one_of(words);
    let fault = run.fault(
        "literal_error",
        format!("Input should be {expected}"),
        super::fault::cleaned(input),
    );
    run.refuse(fault.with("expected", Json::text(&expected)))
}

/// A version number of a document: any up to `LATEST` is read, and it is always shown as `LATEST`.
pub struct Version<const LATEST: i64>;

impl<const LATEST: i64> Field for Version<LATEST> {
    fn read(input: &Json, base: Option<&Json>, run: &mut Reading<'_>) -> Option<Self> {
        match i64::read(input, base, run)? {
            version if version > LATEST => {
                let text = format!(
                    "schema_version {version} is newer than {LATEST}, the newest that is known here"
                );
                run.refuse_value(&text, Json::from(version))
            }
            version if version < 0 => {
                run.refuse_value("schema_version is negative", Json::from(version))
            }
            _ => Some(Self),
        }
    }

    fn show(&self, _: &View<'_>) -> Json {
        Json::from(LATEST)
    }
}

/// The word in the member `name` that tells which of several objects this is.
pub(crate) struct Tag {
    /// The member.
    pub(crate) name: &'static str,
    /// How the reference names the place of the tag in its messages.
    pub(crate) shown: &'static str,
    /// The tag of an object without one.
    pub(crate) absent: Option<&'static str>,
    /// All tags.
    pub(crate) words: &'static [&'static str],
}

impl Tag {
    pub(crate) fn read(
        &self,
        input: &Json,
        veil: fn(&Json) -> Json,
        run: &mut Reading<'_>,
    ) -> Option<&'static str> {
        let Some(members) = input.as_object() else {
            return refuse_other(veil(input), run);
        };
        let tag = match (members.get(self.name), self.absent) {
            (None, Some(absent)) => return Some(absent),
            (None | Some(Json::Null), _) => {
                let msg = format!("Unable to extract tag using discriminator {}", self.shown);
                let fault = run.fault("union_tag_not_found", msg, veil(input));
                return run.refuse(fault.with("discriminator", Json::text(self.shown)));
            }
            (Some(tag), _) => tag,
        };
        let known = tag
            .as_text()
            .and_then(|tag| self.words.iter().find(|word| **word == tag));
        if let Some(known) = known {
            return Some(known);
        }
        let found = match tag {
            Json::Text(tag) => tag.expose().to_owned(),
            _ => "of another type".to_owned(),
        };
        let expected: Vec<String> = self.words.iter().map(|word| format!("'{word}'")).collect();
        let expected = expected.join(", ");
        let msg = format!(
            "Input tag '{found}' found using {} does not match any of the expected tags: {expected}",
            self.shown
        );
        let fault = run.fault("union_tag_invalid", msg, veil(input));
        let fault = fault.with("discriminator", Json::text(self.shown));
        run.refuse(
            fault
                .with("tag", Json::text(&found))
                .with("expected_tags", Json::text(&expected)),
        )
    }
}

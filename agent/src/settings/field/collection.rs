//! What may be null, lists, and objects whose names are free.

use indexmap::IndexMap;

use super::{Field, Reading, Rule};
use crate::json::{Json, Key, Object, Text};
use crate::settings::fault::{Step, cleaned};
use crate::settings::secret::View;

impl<T: Field> Field for Option<T> {
    fn read(input: &Json, base: Option<&Json>, run: &mut Reading<'_>) -> Option<Self> {
        T::read_optional(input, base, run)
    }

    fn show(&self, view: &View<'_>) -> Json {
        self.as_ref().map_or(Json::Null, |value| value.show(view))
    }

    fn veil(input: &Json) -> Json {
        T::veil(input)
    }

    fn obeys(&self, rule: &Rule) -> bool {
        self.as_ref().is_none_or(|value| value.obeys(rule))
    }
}

impl<T: Field> Field for Box<T> {
    fn read(input: &Json, base: Option<&Json>, run: &mut Reading<'_>) -> Option<Self> {
        T::read(input, base, run).map(Self::new)
    }

    fn show(&self, view: &View<'_>) -> Json {
        (**self).show(view)
    }

    fn veil(input: &Json) -> Json {
        T::veil(input)
    }

    fn obeys(&self, rule: &Rule) -> bool {
        (**self).obeys(rule)
    }
}

impl<T: Field> Field for Vec<T> {
    fn read(input: &Json, base: Option<&Json>, run: &mut Reading<'_>) -> Option<Self> {
        let Json::List(items) = input else {
            let fault = run.fault(
                "list_type",
                "Input should be a valid list",
                Self::veil(input),
            );
            return run.refuse(fault);
        };
        let base = match base {
            Some(Json::List(base)) => base.as_slice(),
            _ => &[],
        };
        let mut read = Self::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            read.extend(run.at(Step::Index(index), |run| {
                T::read(item, base.get(index), run)
            }));
        }
        (read.len() == items.len()).then_some(read)
    }

    fn show(&self, view: &View<'_>) -> Json {
        Json::List(self.iter().map(|item| item.show(view)).collect())
    }

    fn veil(input: &Json) -> Json {
        match input {
            Json::List(items) => Json::List(items.iter().map(T::veil).collect()),
            other => T::veil(other),
        }
    }
}

/// An object whose names are free, in order.
pub struct Map<T>(IndexMap<Key, T>);

impl<T> Default for Map<T> {
    fn default() -> Self {
        Self(IndexMap::new())
    }
}

impl<T> Map<T> {
    /// The value under `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&T> {
        self.0.get(name)
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &T)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    pub(crate) fn insert(&mut self, name: &str, value: T) {
        self.0.insert(Key::Text(Text::copy_of(name)), value);
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<T> {
        self.0.shift_remove(name)
    }
}

impl<T: Field> Field for Map<T> {
    fn read(input: &Json, base: Option<&Json>, run: &mut Reading<'_>) -> Option<Self> {
        let Json::Object(members) = input else {
            let fault = run.fault(
                "dict_type",
                "Input should be a valid dictionary",
                Self::veil(input),
            );
            return run.refuse(fault);
        };
        let (mut map, mut whole) = (IndexMap::with_capacity(members.len()), true);
        for (name, value) in members.iter() {
            let base = base.and_then(|base| base.get(name));
            match run.at_name(name, |run| T::read_entry(value, base, run)) {
                Some(Some(value)) => drop(map.insert(Key::Text(Text::copy_of(name)), value)),
                Some(None) => {}
                None => whole = false,
            }
        }
        whole.then_some(Self(map))
    }

    fn show(&self, view: &View<'_>) -> Json {
        let mut members = Object::with_capacity(self.0.len());
        for (name, value) in self.iter() {
            let shown = value.show(view);
            if !(view.leaves_out() && T::SECRET) {
                members.put(Text::copy_of(name), shown);
            }
        }
        members.into()
    }

    fn veil(input: &Json) -> Json {
        match input {
            Json::Object(members) => {
                let mut shown = Object::with_capacity(members.len());
                for (name, value) in members.iter() {
                    shown.put(Text::copy_of(name), T::veil(value));
                }
                shown.into()
            }
            other => T::veil(other),
        }
    }
}

/// An object that is kept as it came.
#[derive(Default)]
pub struct Anything(pub(crate) Object);

impl Anything {
    /// What came.
    #[must_use]
    pub fn members(&self) -> &Object {
        &self.0
    }
}

impl Field for Anything {
    fn read(input: &Json, _: Option<&Json>, run: &mut Reading<'_>) -> Option<Self> {
        match input {
            Json::Object(members) => Some(Self(members.duplicate())),
            _ => {
                let fault = run.fault(
                    "dict_type",
                    "Input should be a valid dictionary",
                    cleaned(input),
                );
                run.refuse(fault)
            }
        }
    }

    fn show(&self, _: &View<'_>) -> Json {
        self.0.duplicate().into()
    }
}

//! A JSON tree whose texts are wiped when they are dropped.
//!
//! A request that may hold a secret is parsed into this and nothing else: `serde_json::Value` owns plain
//! `String`s, and serde_json's lexer unescapes into a buffer of its own that nobody wipes, so the lexer here is
//! ours ([`Json::parse`]; serde_json is its judge in the tests). The tree has no `Debug`, `Clone` or
//! `Serialize`: it is copied by name ([`Json::duplicate`]) and written into buffers that are wiped too.

mod parse;
mod write;

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};

use foldhash::quality::RandomState;
use indexmap::IndexMap;
use serde_json::Number;
use strongroom_vault::{never_impl, wipe};

pub use parse::{DEPTH_MAX, ParseError, ParseErrorKind};

/// One JSON value.
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A finite number; integers are exact from -2^63 to 2^64 - 1.
    Number(Number),
    /// A text, wiped on drop.
    Text(Text),
    /// An array.
    List(Vec<Json>),
    /// An object in the order of its first mentions.
    Object(Object),
}

impl Json {
    /// A text value with a copy of `text`; the caller wipes its own.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Text(Text::copy_of(text))
    }

    /// A deep copy: merging needs one, and the name makes it seen.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        match self {
            Self::Null => Self::Null,
            Self::Bool(truth) => Self::Bool(*truth),
            Self::Number(number) => Self::Number(number.clone()),
            Self::Text(text) => Self::Text(Text::copy_of(text.expose())),
            Self::List(items) => Self::List(items.iter().map(Self::duplicate).collect()),
            Self::Object(object) => Self::Object(object.duplicate()),
        }
    }

    /// Whether both hold the same value; the order of members does not count, `8` and `8.0` differ.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Number(a), Self::Number(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => a.is(b.expose()),
            (Self::List(a), Self::List(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b))
            }
            (Self::Object(a), Self::Object(b)) => {
                a.len() == b.len()
                    && a.iter()
                        .all(|(name, a)| b.get(name).is_some_and(|b| a.same(b)))
            }
            _ => false,
        }
    }

    /// Whether this is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The text, if this is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text.expose()),
            _ => None,
        }
    }

    /// The object, if this is one.
    #[must_use]
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }

    /// The object to change, if this is one.
    pub fn as_object_mut(&mut self) -> Option<&mut Object> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }

    /// The member `name`, if this is an object that has it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.as_object()?.get(name)
    }
}

impl From<bool> for Json {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<u64> for Json {
    fn from(number: u64) -> Self {
        Self::Number(number.into())
    }
}

impl From<i64> for Json {
    fn from(number: i64) -> Self {
        Self::Number(number.into())
    }
}

impl From<f64> for Json {
    /// What JSON has no number for (NaN, the infinities) becomes `null`.
    fn from(number: f64) -> Self {
        Number::from_f64(number).map_or(Self::Null, Self::Number)
    }
}

impl From<Object> for Json {
    fn from(object: Object) -> Self {
        Self::Object(object)
    }
}

impl From<Vec<Json>> for Json {
    fn from(items: Vec<Json>) -> Self {
        Self::List(items)
    }
}

/// A text that is wiped when it is dropped and never grows (a reallocation would leave a copy behind).
pub struct Text(Box<str>);

impl Text {
    /// A copy of `text` in an allocation of exactly its size; the caller wipes its own.
    #[must_use]
    pub fn copy_of(text: &str) -> Self {
        Self(text.into())
    }

    /// The only way to the characters.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether this is exactly `other`. Not in constant time: for comparing a key that someone presents,
    /// compare digests.
    #[must_use]
    pub fn is(&self, other: &str) -> bool {
        *self.0 == *other
    }

    /// Takes over a text that was built in its final size.
    fn built(text: String) -> Self {
        debug_assert!(
            text.len() == text.capacity(),
            "a text with room to spare is copied when it is boxed"
        );
        Self(text.into_boxed_str())
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        wipe(&mut std::mem::take(&mut self.0).into_boxed_bytes());
    }
}

/// The name of a member, which a map can look up: one of ours, or a text from outside.
pub(crate) enum Key {
    /// No secret: needs no copy and no wiping.
    Ours(&'static str),
    /// A client may have put anything into it.
    Text(Text),
}

impl Key {
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Ours(name) => name,
            Self::Text(text) => text.expose(),
        }
    }

    fn duplicate(&self) -> Self {
        match self {
            Self::Ours(name) => Self::Ours(name),
            Self::Text(text) => Self::Text(Text::copy_of(text.expose())),
        }
    }
}

impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Key {}

/// The members of a JSON object, in the order in which their names first came.
#[derive(Default)]
pub struct Object(IndexMap<Key, Json, RandomState>);

impl Object {
    /// No members.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// No members yet, and room for `count`.
    #[must_use]
    pub fn with_capacity(count: usize) -> Self {
        Self(IndexMap::with_capacity_and_hasher(
            count,
            RandomState::default(),
        ))
    }

    /// The number of members.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is a member `name`.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The value of the member `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Json> {
        self.0.get(name)
    }

    /// The value of the member `name`, to change it.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Json> {
        self.0.get_mut(name)
    }

    /// Sets the member `name`: in its old place if it is there, else at the end. Gives the value it had.
    pub fn insert(&mut self, name: &str, value: impl Into<Json>) -> Option<Json> {
        self.put(Text::copy_of(name), value.into())
    }

    /// [`Self::insert`] with a name that is already a [`Text`].
    pub fn put(&mut self, name: Text, value: Json) -> Option<Json> {
        self.set(Key::Text(name), value)
    }

    /// [`Self::insert`] without a copy of a name that is ours.
    pub(crate) fn set(&mut self, name: Key, value: Json) -> Option<Json> {
        self.0.insert(name, value)
    }

    /// Takes the member `name` out. The others keep their order, so it costs a walk over them: to take out
    /// many, use [`Self::retain`].
    pub fn remove(&mut self, name: &str) -> Option<Json> {
        self.0.shift_remove(name)
    }

    /// Keeps the members that `keep` wants, in one walk.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &mut Json) -> bool) {
        self.0.retain(|name, value| keep(name.as_str(), value));
    }

    /// The members in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Json)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The members in order, to change their values.
    pub fn iter_mut(&mut self) -> impl ExactSizeIterator<Item = (&str, &mut Json)> {
        self.0
            .iter_mut()
            .map(|(name, value)| (name.as_str(), value))
    }

    /// The members themselves, in order.
    pub(crate) fn into_members(self) -> impl ExactSizeIterator<Item = (Key, Json)> {
        self.0.into_iter()
    }

    /// A deep copy, as [`Json::duplicate`].
    #[must_use]
    pub fn duplicate(&self) -> Self {
        let mut copy = Self::with_capacity(self.len());
        for (name, value) in &self.0 {
            copy.set(name.duplicate(), value.duplicate());
        }
        copy
    }
}

never_impl!(
    Text: std::fmt::Debug, std::fmt::Display, Clone, AsRef<str>, std::ops::Deref, PartialEq, PartialEq<str>,
    serde::Serialize, Borrow<str>, Into<String>,
);
never_impl!(Json: std::fmt::Debug, std::fmt::Display, Clone, PartialEq, serde::Serialize);
never_impl!(Object: std::fmt::Debug, std::fmt::Display, Clone, PartialEq, serde::Serialize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_the_place_of_their_first_mention() {
        let mut object = Object::new();
        object.insert("b", true);
        object.insert("a", 1_u64);
        assert!(
            object
                .insert("b", false)
                .is_some_and(|old| old.same(&Json::Bool(true)))
        );
        object.insert("c", 2.5);
        object.remove("a");
        let names: Vec<&str> = object.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["b", "c"]);
        assert!(
            object
                .get("b")
                .is_some_and(|value| value.same(&Json::Bool(false)))
        );
    }

    #[test]
    fn a_duplicate_is_the_same_and_apart() {
        let first = Json::parse(br#"{"a":[1,null,{"b":"x"}],"c":2.5}"#).unwrap();
        let mut second = first.duplicate();
        assert!(first.same(&second));
        second.as_object_mut().unwrap().insert("c", 3_u64);
        assert!(!first.same(&second) && first.get("c").unwrap().same(&Json::from(2.5)));
    }
}

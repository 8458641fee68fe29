//! Named configurations: language models, agents, and ways to choose a model.

pub mod agent;
pub mod llm;
pub mod meta;
mod trial;

use crate::json::Json;
use crate::limits::PROFILE_NAME_CHARS_MAX;
use crate::settings::field::{Pattern, Reading, Rule};
use crate::settings::model::{any_input, any_value, model};

use crate::json::Text;

pub use trial::Trials;

/// The names of profiles.
pub(crate) static NAME: Pattern = Pattern {
    text: "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
    fits: is_name,
};

/// The ids of agent profiles.
pub(crate) static UUID: Pattern = Pattern {
    text: "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$",
    fits: is_uuid,
};

const NAME_MAX: Rule = Rule::CharsMax(PROFILE_NAME_CHARS_MAX);

/// Whether `text` can be the name of a profile.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let begins = text
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric());
    begins && text.len() <= PROFILE_NAME_CHARS_MAX && text.bytes().all(allowed)
}

/// Whether `text` is a UUID in its usual form.
#[must_use]
pub fn is_uuid(text: &str) -> bool {
    let groups = text
        .split('-')
        .map(|group| (group.len(), group.bytes().all(|b| b.is_ascii_hexdigit())));
    groups.eq([8, 4, 4, 4, 12].map(|digits| (digits, true)))
}

/// A fresh random UUID (version 4).
pub(crate) fn fresh_uuid() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    let random = u128::from_be_bytes(bytes);
    let versioned = random & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let mut hex = format!("{versioned:032x}");
    for place in [20, 16, 12, 8] {
        hex.insert(place, '-');
    }
    Ok(hex)
}

/// `foo.json` addresses the profile `foo`.
pub(crate) fn canonical(name: &str) -> &str {
    name.strip_suffix(".json").unwrap_or(name)
}

/// Reports a name in the path that can be none.
pub(crate) fn check_path_name(name: &str, run: &mut Reading<'_>) {
    run.at_name("name", |run| {
        let broken = [NAME_MAX, Rule::Match(&NAME)];
        let text = Text::copy_of(name);
        let broken = broken
            .iter()
            .find(|rule| !crate::settings::field::Field::obeys(&text, rule));
        if let Some(rule) = broken {
            rule.refuse::<Text>(&Json::text(name), run);
        }
    });
}

model! {
    /// The body that renames a profile.
    pub struct Rename { unknown: Dropped, lean: false, before: any_input, after: any_value }
    /// The new name.
    new_name: Text where [Rule::CharsMin(1), NAME_MAX, Rule::Match(&NAME)] = required;
}

/// Nothing but a name in the path.
pub(crate) struct NoBody;

impl crate::settings::field::Field for NoBody {
    fn read(_: &Json, _: Option<&Json>, _: &mut Reading<'_>) -> Option<Self> {
        Some(Self)
    }

    fn show(&self, _: &crate::settings::secret::View<'_>) -> Json {
        Json::Null
    }
}

/// The record of a file that was imported as it was, because it does not fit: a zero byte, then the file.
pub(crate) const KEPT_AS_IT_WAS: u8 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ids_are_what_their_patterns_say() {
        let longest = "a".repeat(64);
        for good in ["a", "9", "A.b_c-9", "x.json", &longest] {
            assert!(is_name(good), "{good}");
        }
        for bad in [
            "",
            ".x",
            "-x",
            "_x",
            "a b",
            "é",
            "a\n",
            "a/b",
            "a+b",
            &format!("{longest}a"),
        ] {
            assert!(!is_name(bad), "{bad}");
        }
        assert!(is_uuid("00000000-0000-4000-8000-00000000000A"));
        for bad in [
            "",
            "x",
            "00000000-0000-4000-8000-00000000000",
            "00000000-0000-4000-8000-000000000000-",
        ] {
            assert!(!is_uuid(bad), "{bad}");
        }
    }

    #[test]
    fn fresh_ids_are_of_version_four_and_differ() {
        let (one, two) = (fresh_uuid().unwrap(), fresh_uuid().unwrap());
        assert!(is_uuid(&one) && one != two);
        assert!(one.as_bytes()[14] == b'4' && b"89ab".contains(&one.as_bytes()[19]));
    }
}

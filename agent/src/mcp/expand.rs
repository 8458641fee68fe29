//! References to secrets in texts: `${NAME}`, `${NAME:-default}`, and in arguments of calls `$NAME` too.

use strongroom_vault::Plaintext;

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// As it stands.
    Literal(&'a str),
    /// A reference.
    Reference {
        /// To this name.
        name: &'a str,
        /// What stands for it when there is no such name.
        default: Option<&'a str>,
        /// The reference as it stands.
        whole: &'a str,
    },
}

/// Cuts a text into its parts. `bare`: `$NAME` is a reference too.
pub(super) fn pieces(text: &str, bare: bool) -> Vec<Piece<'_>> {
    let (mut found, mut rest, mut from) = (Vec::new(), text, 0);
    while let Some(at) = rest.get(from..).and_then(|rest| rest.find('$')) {
        let at = from + at;
        let (before, after) = rest.split_at(at);
        let Some((name, default, len)) = reference(after, bare) else {
            from = at + 1;
            continue;
        };
        if !before.is_empty() {
            found.push(Piece::Literal(before));
        }
        let (whole, behind) = after.split_at(len);
        found.push(Piece::Reference {
            name,
            default,
            whole,
        });
        (rest, from) = (behind, 0);
    }
    if !rest.is_empty() {
        found.push(Piece::Literal(rest));
    }
    found
}

/// The reference that `text` begins with: name, default, length.
fn reference(text: &str, bare: bool) -> Option<(&str, Option<&str>, usize)> {
    let inner = text.strip_prefix('$')?;
    let Some(braced) = inner.strip_prefix('{') else {
        let name = name_of(inner).filter(|_| bare)?;
        return Some((name, None, 1 + name.len()));
    };
    let name = name_of(braced)?;
    let behind = braced.get(name.len()..)?;
    if behind.starts_with('}') {
        return Some((name, None, name.len() + 3));
    }
    let (default, _) = behind.strip_prefix(":-")?.split_once('}')?;
    Some((name, Some(default), name.len() + default.len() + 5))
}

fn name_of(text: &str) -> Option<&str> {
    let len = text
        .bytes()
        .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        .count();
    let name = text.get(..len)?;
    let begins = |first: u8| first.is_ascii_alphabetic() || first == b'_';
    name.bytes().next().is_some_and(begins).then_some(name)
}

/// The names that a text refers to, each once, added to `names`.
pub(super) fn names(text: &str, bare: bool, names: &mut Vec<String>) {
    for piece in pieces(text, bare) {
        if let Piece::Reference { name, .. } = piece
            && !names.iter().any(|known| known == name)
        {
            names.push(name.to_owned());
        }
    }
}

/// What a name stands for.
pub(super) enum Meaning<'a> {
    /// A secret.
    Secret(&'a Plaintext),
    /// An ordinary text.
    Open(String),
    /// Nothing: its default, or the reference as it stands.
    Nothing,
}

/// The text with what its references stand for, in memory of exactly its size.
pub(super) fn filled<'a>(text: &str, bare: bool, means: &dyn Fn(&str) -> Meaning<'a>) -> Plaintext {
    enum Part<'a, 'b> {
        Lent(&'b str),
        Own(String),
        Secret(&'a Plaintext),
    }
    impl Part<'_, '_> {
        fn bytes(&self) -> &[u8] {
            match self {
                Self::Lent(text) => text.as_bytes(),
                Self::Own(text) => text.as_bytes(),
                Self::Secret(value) => value.expose(),
            }
        }
    }
    let parts: Vec<Part<'_, '_>> = pieces(text, bare)
        .into_iter()
        .map(|piece| match piece {
            Piece::Literal(text) => Part::Lent(text),
            Piece::Reference {
                name,
                default,
                whole,
            } => match means(name) {
                Meaning::Secret(value) => Part::Secret(value),
                Meaning::Open(text) => Part::Own(text),
                Meaning::Nothing => Part::Lent(default.unwrap_or(whole)),
            },
        })
        .collect();
    let parts: Vec<&[u8]> = parts.iter().map(Part::bytes).collect();
    joined(&parts)
}

/// The parts one after the other, in memory of exactly their size.
pub(super) fn joined(parts: &[&[u8]]) -> Plaintext {
    let filled = Plaintext::fill(parts.iter().map(|part| part.len()).sum(), |mut room| {
        for part in parts {
            // Measured above: they fit.
            if let Some((here, rest)) = std::mem::take(&mut room).split_at_mut_checked(part.len()) {
                here.copy_from_slice(part);
                room = rest;
            }
        }
        Ok::<(), std::convert::Infallible>(())
    });
    match filled {
        Ok(bytes) => bytes,
        Err(never) => match never {},
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, bare: bool, expected: &str) {
        let secret = Plaintext::copy_of(b"s3cret");
        let means = |name: &str| match name {
            "TOKEN" => Meaning::Secret(&secret),
            "HOME" => Meaning::Open("/h".to_owned()),
            _ => Meaning::Nothing,
        };
        let filled = filled(text, bare, &means);
        assert_eq!(
            std::str::from_utf8(filled.expose()).unwrap(),
            expected,
            "{text}"
        );
    }

    #[test]
    fn references_are_filled_in_and_all_else_stays() {
        check("Bearer ${TOKEN}!", false, "Bearer s3cret!");
        check("${TOKEN}${TOKEN}", false, "s3crets3cret");
        check(
            "${HOME}/x ${NONE:-d e} ${NONE} ${NONE:-}",
            false,
            "/h/x d e ${NONE} ",
        );
        check("$TOKEN", false, "$TOKEN");
        check(
            "$TOKEN-$TOKENS $5 $ $$TOKEN ž",
            true,
            "s3cret-$TOKENS $5 $ $s3cret ž",
        );
        check(
            "${TOKEN ${1} ${} ${TOKEN:x} $",
            true,
            "${TOKEN ${1} ${} ${TOKEN:x} $",
        );
        check("", true, "");
    }

    #[test]
    fn names_are_told_once() {
        let mut found = Vec::new();
        names("${A} $B ${A:-x}", true, &mut found);
        assert_eq!(found, ["A", "B"]);
    }
}

//! Matching a path to a row of a route table. Knows no route.
//!
//! Paths are percent-decoded first, and only once, so `%2F` separates segments like `/`. A literal segment wins over
//! a variable. The rows' order does not matter, but that a wrong method is told the method of the first row with
//! that path.

use std::borrow::Cow;
use std::ops::Range;

/// Variables of one pattern at most.
pub const VARIABLES_MAX: usize = 2;

/// What the router has to know of a row.
pub trait Row {
    /// `/api/things/{name}`: a segment in braces takes any segment that is not empty. `/api/things/{*rest}`: the
    /// last one, with a star, takes all that follows, slashes and all, and nothing too.
    fn pattern(&self) -> &'static str;
    /// The method as it stands in the request line.
    fn method(&self) -> &'static str;
    /// The pattern up to its first variable: most rows are ruled out by it. [`prefix`] of the pattern, kept.
    fn prefix(&self) -> &'static str {
        prefix(self.pattern())
    }
}

/// The part of a pattern before its first variable.
#[must_use]
pub const fn prefix(pattern: &'static str) -> &'static str {
    let mut end = 0;
    let bytes = pattern.as_bytes();
    let mut rest = bytes;
    while let [first, after @ ..] = rest {
        if *first == b'{' {
            return pattern.split_at(end).0;
        }
        (end, rest) = (end + 1, after);
    }
    pattern
}

/// What a path and a method lead to.
pub enum Found<'t, R> {
    /// A row, and where in the decoded path its variables are.
    Row(&'t R, Values),
    /// The path is known, but not with this method; the method of the first row that has it.
    WrongMethod(&'static str),
    /// The path is known without the slash at its end.
    Slash,
    /// The path is known with a slash at its end.
    NoSlash,
    /// No row has this path.
    Nothing,
}

/// Where the variables of a pattern are in the decoded path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Values([Range<usize>; VARIABLES_MAX]);

impl Values {
    /// The variable of the given number, counted from 0; empty if the pattern has fewer.
    #[must_use]
    pub fn get<'p>(&self, path: &'p str, number: usize) -> &'p str {
        let range = self.0.get(number).cloned().unwrap_or_default();
        path.get(range).unwrap_or_default()
    }

    /// The last variable that is not empty.
    #[must_use]
    pub fn last<'p>(&self, path: &'p str) -> &'p str {
        let last = self.0.iter().rev().find(|range| !range.is_empty());
        path.get(last.cloned().unwrap_or_default())
            .unwrap_or_default()
    }
}

/// The path as it is matched: decoded, and with U+FFFD for what is no UTF-8.
#[must_use]
pub fn decode(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        let decoded = match (first, after) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        if let Some((high, low)) = decoded {
            bytes.push(high << 4 | low);
            rest = after.get(2..).unwrap_or_default();
        } else {
            bytes.push(first);
        }
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// Finds the row for a decoded path.
pub fn find<'t, R: Row>(table: &'t [R], method: &str, path: &str) -> Found<'t, R> {
    let mut other = None;
    let mut best: Option<(&R, Values, u32)> = None;
    for row in table {
        let Some((values, literals)) = fit(row, path) else {
            continue;
        };
        if row.method() != method {
            other.get_or_insert(row.method());
        } else if best.as_ref().is_none_or(|(_, _, most)| literals > *most) {
            best = Some((row, values, literals));
        }
    }
    if let Some((row, values, _)) = best {
        return Found::Row(row, values);
    }
    if let Some(allowed) = other {
        return Found::WrongMethod(allowed);
    }
    let without = path.trim_end_matches('/');
    let known = |row: &R| fit(row, without).is_some();
    if without.len() < path.len() && table.iter().any(known) {
        return Found::Slash;
    }
    let with = format!("{path}/");
    if !path.is_empty() && table.iter().any(|row| fit(row, &with).is_some()) {
        return Found::NoSlash;
    }
    Found::Nothing
}

/// Where the variables are, and a number with a bit for each segment that is spelled out, the first segment's
/// bit being the highest: the larger of two is the more particular pattern.
fn fit(row: &impl Row, path: &str) -> Option<(Values, u32)> {
    if !path.starts_with(row.prefix()) {
        return None;
    }
    let mut values = Values::default();
    let mut places = values.0.iter_mut();
    let (mut literals, mut bit, mut start) = (0, 1_u32 << 31, 0);
    let mut wanted = row.pattern().split('/');
    for segment in path.split('/') {
        let want = wanted.next()?;
        if want.starts_with("{*") {
            *places.next()? = start..path.len();
            break;
        }
        if want.starts_with('{') {
            if segment.is_empty() {
                return None;
            }
            *places.next()? = start..start + segment.len();
        } else if want == segment {
            literals |= bit;
        } else {
            return None;
        }
        bit >>= 1;
        start += segment.len() + 1;
    }
    wanted.next().is_none().then_some((values, literals))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Plain(&'static str, &'static str);

    impl Row for Plain {
        fn method(&self) -> &'static str {
            self.0
        }
        fn pattern(&self) -> &'static str {
            self.1
        }
    }

    const TABLE: &[Plain] = &[
        Plain("GET", "/"),
        Plain("GET", "/things"),
        Plain("PUT", "/things"),
        Plain("GET", "/things/{name}"),
        Plain("GET", "/things/all"),
        Plain("POST", "/things/all"),
        Plain("DELETE", "/things/{name}/parts/{part}"),
        Plain("GET", "/lists/"),
        Plain("GET", "/files/{name}/{*rest}"),
        Plain("GET", "/files/{name}/about"),
        Plain("PUT", "/files/{name}"),
    ];

    fn check(method: &str, path: &str, expected: &str) {
        let path = decode(path);
        let got = match find(TABLE, method, &path) {
            Found::Row(row, values) => {
                format!(
                    "{} {} {}",
                    row.1,
                    values.get(&path, 0),
                    values.get(&path, 1)
                )
            }
            Found::WrongMethod(allowed) => format!("allow {allowed}"),
            Found::Slash => "slash".into(),
            Found::NoSlash => "no slash".into(),
            Found::Nothing => "nothing".into(),
        };
        assert_eq!(got.trim_end(), expected, "{method} {path}");
    }

    #[test]
    fn paths_lead_to_rows() {
        check("GET", "/", "/");
        check("GET", "/things", "/things");
        check("GET", "/things/x", "/things/{name} x");
        check("GET", "/things/all", "/things/all");
        check("GET", "/things/a%20b", "/things/{name} a b");
        check("GET", "/things/%c3%BC", "/things/{name} ü");
        check("GET", "/things/%", "/things/{name} %");
        check("GET", "/things/%4", "/things/{name} %4");
        check("GET", "/things/%zz", "/things/{name} %zz");
        check(
            "DELETE",
            "/things/a/parts/b",
            "/things/{name}/parts/{part} a b",
        );
    }

    #[test]
    fn a_star_takes_the_rest_as_it_is() {
        for (path, expected) in [
            ("/files/x/a", "a"),
            ("/files/x/a/b//c/", "a/b//c/"),
            ("/files/x/", ""),
            ("/files/x//", "/"),
            ("/files/x/about/y", "about/y"),
            ("/files/x/%2e%2e%2Fy", "../y"),
            ("/files/x/%252e", "%2e"),
            ("/files%2Fx%2Fy", "y"),
        ] {
            let expected = format!("/files/{{name}}/{{*rest}} x {expected}");
            check("GET", path, expected.trim_end());
        }
        check("GET", "/files/x/about", "/files/{name}/about x");
        check("GET", "/files/x", "allow PUT");
        check("GET", "/files//y", "nothing");
        check("PUT", "/files/x/y", "allow GET");
    }

    #[test]
    fn the_last_variable_is_found_whatever_its_number() {
        let last = |path: &str| match find(TABLE, "DELETE", path) {
            Found::Row(_, values) => values.last(path).to_owned(),
            _ => String::new(),
        };
        assert_eq!(last("/things/a/parts/b"), "b");
        assert_eq!(Values([1..3, 0..0]).last("/xy"), "xy");
        assert_eq!(Values::default().last("/xy"), "");
    }

    #[test]
    fn a_prefix_ends_where_a_variable_begins() {
        assert_eq!(prefix("/things/{name}/parts"), "/things/");
        assert_eq!(prefix("/things"), "/things");
    }

    #[test]
    fn a_literal_wins_in_every_method() {
        check("POST", "/things/all", "/things/all");
        check("POST", "/things/x", "allow GET");
    }

    #[test]
    fn what_is_not_there_is_told_apart() {
        check("DELETE", "/things", "allow GET");
        check("HEAD", "/things/x", "allow GET");
        check("GET", "/things/x/parts/y", "allow DELETE");
        check("GET", "/things/x/parts", "nothing");
        check("GET", "/things%2Fx%2Fy", "nothing");
        check("GET", "/things/a%2Fb", "nothing");
        check("GET", "/Things", "nothing");
        check("GET", "", "nothing");
        check("GET", "*", "nothing");
    }

    #[test]
    fn a_slash_at_the_end_is_noticed_where_the_path_exists() {
        check("GET", "/things/", "slash");
        check("DELETE", "/things//", "slash");
        check("GET", "/things/x/", "slash");
        check("GET", "/nope/", "nothing");
        check("GET", "/lists/", "/lists/");
        check("GET", "/lists", "no slash");
        check("GET", "/lists//", "nothing");
        check("GET", "//", "nothing");
    }

    proptest! {
        #[test]
        fn any_path_is_answered(path in "(/files/)?[/%a-f0-9{}é]{0,40}", method in "GET|PUT|HEAD|X") {
            let decoded = decode(&path);
            if let Found::Row(row, values) = find(TABLE, &method, &decoded) {
                prop_assert_eq!(row.0, method);
                let filled = row.1.replace("{name}", values.get(&decoded, 0));
                let filled = filled.replace("{*rest}", values.get(&decoded, 1));
                prop_assert_eq!(filled.replace("{part}", values.get(&decoded, 1)), decoded.as_ref());
            }
        }
    }
}

//! Reads `multipart/form-data` piece by piece, however it is cut. (RFC 7578, RFC 2046.)
//!
//! Holds no more than a part's headers, or as much as could begin a boundary. Knows no body and does no I/O.

use crate::limits::{
    MULTIPART_BOUNDARY_BYTES_MAX, MULTIPART_HEADER_BYTES_MAX, MULTIPART_PARTS_MAX,
};

/// The reading of one body.
pub struct Multipart {
    /// A line end, two dashes and the boundary.
    delimiter: Vec<u8>,
    held: Vec<u8>,
    state: State,
    parts: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first boundary.
    Preamble,
    /// Right behind a boundary.
    Boundary,
    /// In the headers of a part.
    Headers,
    /// In a part.
    Part,
    /// Behind the last boundary.
    End,
}

/// What was found next.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// More bytes are needed.
    Nothing,
    /// A part begins.
    Part(Head),
    /// More of the part's content.
    Data(Vec<u8>),
    /// The part is complete.
    PartEnd,
    /// All parts are complete; whatever follows does not count.
    End,
}

/// What the headers of a part say.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The name of the field.
    pub name: String,
    /// Whether it is a file.
    pub is_file: bool,
}

/// The body is no form.
#[derive(Debug, PartialEq, Eq)]
pub struct NoForm;

impl Multipart {
    /// Reads a body of this content type; `None` if that is no form, or has no usable boundary.
    #[must_use]
    pub fn new(content_type: &str) -> Option<Self> {
        let (kind, rest) = content_type.split_once(';')?;
        if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
            return None;
        }
        let boundary = parameter(rest, "boundary")?;
        if boundary.is_empty() || boundary.len() > MULTIPART_BOUNDARY_BYTES_MAX {
            return None;
        }
        Some(Self {
            delimiter: [b"\r\n--", boundary.as_bytes()].concat(),
            // The first boundary may stand at the very beginning.
            held: b"\r\n".to_vec(),
            state: State::Preamble,
            parts: 0,
        })
    }

    /// Takes the next bytes. [`next`](Self::next) is to be called then until it finds nothing.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.state != State::End {
            self.held.extend_from_slice(bytes);
        }
    }

    /// Goes on.
    ///
    /// # Errors
    /// [`NoForm`].
    #[expect(
        clippy::should_implement_trait,
        reason = "a step that can fail and can be repeated"
    )]
    pub fn next(&mut self) -> Result<Found, NoForm> {
        loop {
            match self.state {
                State::Preamble => match self.content() {
                    Found::PartEnd => {}
                    Found::Data(_) => {}
                    _ => return Ok(Found::Nothing),
                },
                State::Boundary => match self.held.as_slice() {
                    [b'-', b'-', ..] => {
                        self.state = State::End;
                        self.held = Vec::new();
                    }
                    [b'\r', b'\n', ..] => {
                        self.held.drain(..2);
                        self.parts += 1;
                        if self.parts > MULTIPART_PARTS_MAX {
                            return Err(NoForm);
                        }
                        self.state = State::Headers;
                    }
                    // Blanks may follow a boundary.
                    [b' ' | b'\t', ..] => drop(self.held.remove(0)),
                    [] | [b'-' | b'\r'] => return Ok(Found::Nothing),
                    _ => return Err(NoForm),
                },
                State::Headers => return self.headers(),
                State::Part => return Ok(self.content()),
                State::End => return Ok(Found::End),
            }
        }
    }

    /// Content up to the next boundary, as far as it is certain.
    fn content(&mut self) -> Found {
        let (data, whole) = match find(&self.held, &self.delimiter) {
            Some(0) => {
                self.held.drain(..self.delimiter.len());
                self.state = State::Boundary;
                return Found::PartEnd;
            }
            Some(at) => (at, true),
            None => {
                let uncertain = self.delimiter.len() - 1;
                (self.held.len().saturating_sub(uncertain), false)
            }
        };
        if data == 0 && !whole {
            return Found::Nothing;
        }
        let rest = self.held.split_off(data);
        Found::Data(std::mem::replace(&mut self.held, rest))
    }

    fn headers(&mut self) -> Result<Found, NoForm> {
        // A part without headers has its empty line at once.
        let end = match self.held.starts_with(b"\r\n") {
            true => Some((0, 2)),
            false => find(&self.held, b"\r\n\r\n").map(|at| (at, at + 4)),
        };
        let Some((end, behind)) = end else {
            return match self.held.len() > MULTIPART_HEADER_BYTES_MAX {
                true => Err(NoForm),
                false => Ok(Found::Nothing),
            };
        };
        if end > MULTIPART_HEADER_BYTES_MAX {
            return Err(NoForm);
        }
        let text = String::from_utf8_lossy(self.held.get(..end).unwrap_or_default());
        let head = head(&text);
        self.held.drain(..behind);
        self.state = State::Part;
        Ok(Found::Part(head))
    }
}

fn head(headers: &str) -> Head {
    for line in headers.split("\r\n") {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        if name.trim().eq_ignore_ascii_case("content-disposition") {
            let rest = value.split_once(';').map_or("", |(_, rest)| rest);
            let is_file = ["filename", "filename*"];
            return Head {
                name: parameter(rest, "name").unwrap_or_default(),
                is_file: is_file.iter().any(|name| parameter(rest, name).is_some()),
            };
        }
    }
    Head::default()
}

/// The value of a parameter in `a=b; c="d;\"e"`.
fn parameter(text: &str, wanted: &str) -> Option<String> {
    let mut rest = text;
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=')?;
        let (value, after) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let (value, after) = after.split_once(';').unwrap_or((after, ""));
                (value.trim().to_owned(), after)
            }
        };
        if name
            .trim_matches([' ', '\t', ';'])
            .eq_ignore_ascii_case(wanted)
        {
            return Some(value);
        }
        rest = after;
    }
    None
}

/// A quoted text whose first quote is gone already, and what follows it.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, letter)) = chars.next() {
        match letter {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => value.push(chars.next()?.1),
            letter => value.push(letter),
        }
    }
    None
}

/// Where `wanted`, which begins with a carriage return, is first.
fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let rest = text.get(from..)?;
        let at = from + rest.iter().position(|byte| *byte == b'\r')?;
        if text.get(at..)?.starts_with(wanted) {
            return Some(at);
        }
        from = at + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KIND: &str = "multipart/form-data; boundary=XX";

    /// The parts of a body that comes in pieces: name, whether it is a file, content. And whether it ended.
    type Read = Result<(Vec<(String, bool, Vec<u8>)>, bool), NoForm>;

    fn read(kind: &str, pieces: &[&[u8]]) -> Read {
        let mut form = Multipart::new(kind).ok_or(NoForm)?;
        let (mut parts, mut ended) = (Vec::new(), 0);
        for piece in pieces {
            form.push(piece);
            loop {
                match form.next()? {
                    Found::Nothing => break,
                    Found::Part(head) => parts.push((head.name, head.is_file, Vec::new())),
                    Found::Data(data) => parts.last_mut().unwrap().2.extend(data),
                    Found::PartEnd => ended += 1,
                    Found::End => return Ok((parts, true)),
                }
            }
        }
        assert!(ended <= parts.len());
        Ok((parts, false))
    }

    fn part(name: &str, is_file: bool, content: &[u8]) -> (String, bool, Vec<u8>) {
        (name.into(), is_file, content.to_vec())
    }

    const BODY: &[u8] = b"ignored\r\n--XX \t\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a;\\\"b\"\r\n\
        Content-Type: x/y\r\n\r\none\r\n--XY\r\n\r\n--X\r\n--XX\r\ncontent-disposition:form-data;name=other\r\n\r\n\r\n--XX\
        \r\n\r\n\r\n--XX--trailer";

    #[test]
    fn parts_are_found_whatever_surrounds_them() {
        let expected = vec![
            part("file", true, b"one\r\n--XY\r\n\r\n--X"),
            part("other", false, b""),
            part("", false, b""),
        ];
        assert_eq!(read(KIND, &[BODY]), Ok((expected.clone(), true)));
        let each: Vec<&[u8]> = BODY.chunks(1).collect();
        assert_eq!(read(KIND, &each), Ok((expected, true)));
        let body = b"--a b\r\n\r\nx\r\n--a b--";
        let quoted = "Multipart/Form-Data;charset=x; Boundary=\"a b\"";
        assert_eq!(
            read(quoted, &[body]),
            Ok((vec![part("", false, b"x")], true))
        );
    }

    #[test]
    fn what_is_no_form_is_refused() {
        for kind in [
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/form-data; boundary=\"x",
            "text/plain; boundary=x",
        ] {
            assert!(Multipart::new(kind).is_none(), "{kind}");
        }
        assert_eq!(read(KIND, &[b"--XXY"]), Err(NoForm));
        let mut long = b"--XX\r\n".to_vec();
        long.resize(10 + MULTIPART_HEADER_BYTES_MAX, b'x');
        assert_eq!(read(KIND, &[&long]), Err(NoForm));
        let many = b"--XX\r\n\r\n\r\n".repeat(MULTIPART_PARTS_MAX + 1);
        assert_eq!(read(KIND, &[&many]), Err(NoForm));
        for unfinished in [
            &b"--XX\r\n\r\nabc"[..],
            b"--XX\r\n\r\nabc\r\n--XX",
            b"",
            b"--XX",
        ] {
            assert!(matches!(read(KIND, &[unfinished]), Ok((_, false))));
        }
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same(cuts in prop::collection::vec(0..BODY.len(), 0..8), tail in "[\r\n\\-X]{0,12}") {
            let mut body = BODY.to_vec();
            body.splice(0..7, tail.bytes());
            let mut cuts = cuts;
            cuts.retain(|cut| *cut <= body.len());
            cuts.extend([0, body.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &body[pair[0]..pair[1]]).collect();
            prop_assert_eq!(read(KIND, &pieces), read(KIND, &[&body]));
        }
    }
}

//! Bytes to a [`Json`] tree, by RFC 8259 and nothing beyond it.
//!
//! Texts go from the input straight into an allocation of their final size. An error tells where and what was
//! expected, never what was there.

use std::error::Error;
use std::fmt;

use serde_json::Number;
use zeroize::Zeroizing;

use super::{Json, Object, Text};

/// How many arrays and objects may lie inside each other.
pub const DEPTH_MAX: usize = 128;

/// Why and where input is no JSON; it holds nothing of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseError {
    kind: ParseErrorKind,
    offset: usize,
    line: usize,
    column: usize,
}

/// What is wrong, coarsely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParseErrorKind {
    /// A value should begin here (also at the end of the input, and at `NaN` or `Infinity`).
    Value,
    /// The name of a member should begin here.
    Name,
    /// `:` should stand here.
    Colon,
    /// `,` or the end of the array or object should stand here.
    Comma,
    /// The value is complete, but the input goes on.
    Extra,
    /// The text that begins here has no end.
    Unterminated,
    /// A text may not hold this character as such.
    Control,
    /// `\` is followed by something that JSON does not know.
    Escape,
    /// Half of a surrogate pair.
    Surrogate,
    /// The input is not UTF-8 here.
    Utf8,
    /// A number too large for a double.
    Range,
    /// More than [`DEPTH_MAX`] arrays and objects inside each other.
    Depth,
}

impl ParseErrorKind {
    /// The same in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Value => "Expecting value",
            Self::Name => "Expecting property name enclosed in double quotes",
            Self::Colon => "Expecting ':' delimiter",
            Self::Comma => "Expecting ',' delimiter",
            Self::Extra => "Extra data",
            Self::Unterminated => "Unterminated string starting here",
            Self::Control => "Control character in a string must be escaped",
            Self::Escape => "Unknown escape in a string",
            Self::Surrogate => "Half of a surrogate pair in a string",
            Self::Utf8 => "Not UTF-8",
            Self::Range => "Number out of range",
            Self::Depth => "Nested too deeply",
        }
    }
}

impl ParseError {
    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> ParseErrorKind {
        self.kind
    }

    /// Characters (not bytes) before the place of the error.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// The line, from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.line
    }

    /// The column in characters, from 1.
    #[must_use]
    pub fn column(&self) -> usize {
        self.column
    }

    fn at(kind: ParseErrorKind, before: &[u8]) -> Self {
        // Every character has exactly one byte that is no continuation byte.
        let characters = |bytes: &[u8]| bytes.iter().filter(|&&byte| byte & 0xc0 != 0x80).count();
        let last_line = before
            .rsplit(|&byte| byte == b'\n')
            .next()
            .unwrap_or_default();
        Self {
            kind,
            offset: characters(before),
            line: 1 + before.iter().filter(|&&byte| byte == b'\n').count(),
            column: 1 + characters(last_line),
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} at line {} column {}",
            self.kind.words(),
            self.line,
            self.column
        )
    }
}

impl Error for ParseError {}

impl Json {
    /// Parses one value. Of members with the same name the last one counts, in the place of the first.
    ///
    /// # Errors
    /// For anything that RFC 8259 does not allow, for half of a surrogate pair, for a number beyond the range
    /// of a double, and beyond [`DEPTH_MAX`].
    pub fn parse(input: &[u8]) -> Result<Self, ParseError> {
        let mut lexer = Lexer {
            input,
            at: 0,
            members: Vec::new(),
        };
        lexer
            .document()
            .map_err(|(kind, at)| ParseError::at(kind, input.get(..at).unwrap_or(input)))
    }
}

/// What is wrong, and before which byte.
type Refusal = (ParseErrorKind, usize);

struct Lexer<'a> {
    input: &'a [u8],
    at: usize,
    /// Of the objects that are open, the innermost last: an object is made once its size is known, because
    /// one that grows is hashed again and again.
    members: Vec<(Text, Json)>,
}

impl Lexer<'_> {
    fn document(&mut self) -> Result<Json, Refusal> {
        let value = self.value(0)?;
        self.blanks();
        if self.at < self.input.len() {
            self.refuse(ParseErrorKind::Extra)
        } else {
            Ok(value)
        }
    }

    fn value(&mut self, depth: usize) -> Result<Json, Refusal> {
        if depth > DEPTH_MAX {
            return self.refuse(ParseErrorKind::Depth);
        }
        self.blanks();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => self.text().map(Json::Text),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'n') => self.word(b"null", Json::Null),
            Some(b't') => self.word(b"true", Json::Bool(true)),
            Some(b'f') => self.word(b"false", Json::Bool(false)),
            _ => self.refuse(ParseErrorKind::Value),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, Refusal> {
        let first = self.members.len();
        self.at += 1;
        self.blanks();
        if self.take(b'}') {
            return Ok(Object::new().into());
        }
        loop {
            self.blanks();
            if self.peek() != Some(b'"') {
                return self.refuse(ParseErrorKind::Name);
            }
            let name = self.text()?;
            self.blanks();
            if !self.take(b':') {
                return self.refuse(ParseErrorKind::Colon);
            }
            let value = self.value(depth + 1)?;
            self.members.push((name, value));
            self.blanks();
            if self.take(b'}') {
                let mut object = Object::with_capacity(self.members.len() - first);
                for (name, value) in self.members.drain(first..) {
                    object.put(name, value);
                }
                return Ok(object.into());
            }
            if !self.take(b',') {
                return self.refuse(ParseErrorKind::Comma);
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Json, Refusal> {
        let mut items = Vec::new();
        self.at += 1;
        self.blanks();
        if self.take(b']') {
            return Ok(items.into());
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.blanks();
            if self.take(b']') {
                return Ok(items.into());
            }
            if !self.take(b',') {
                return self.refuse(ParseErrorKind::Comma);
            }
        }
    }

    /// Measures the text first, so that it is written once, into its final allocation.
    fn text(&mut self) -> Result<Text, Refusal> {
        let open = self.at;
        self.at += 1;
        let (begin, mut length) = (self.at, 0);
        loop {
            match self.peek() {
                None => return Err((ParseErrorKind::Unterminated, open)),
                Some(b'"') => break,
                Some(b'\\') => length += self.escape()?.len_utf8(),
                Some(0..=0x1f) => return self.refuse(ParseErrorKind::Control),
                Some(_) => (self.at, length) = (self.at + 1, length + 1),
            }
        }
        let raw = self.input.get(begin..self.at).unwrap_or_default();
        let raw = std::str::from_utf8(raw)
            .map_err(|error| (ParseErrorKind::Utf8, begin + error.valid_up_to()))?;
        let end = self.at + 1;
        if length == raw.len() {
            self.at = end;
            return Ok(Text::copy_of(raw));
        }
        // Wiped if an error or a panic ends the loop before the text is whole.
        let mut text = Zeroizing::new(String::with_capacity(length));
        self.at = begin;
        while self.at + 1 < end {
            if self.peek() == Some(b'\\') {
                text.push(self.escape()?);
            } else {
                let rest = raw.get(self.at - begin..).unwrap_or_default();
                let plain = rest.split('\\').next().unwrap_or_default();
                text.push_str(plain);
                self.at += plain.len();
            }
        }
        self.at = end;
        Ok(Text::built(std::mem::take(&mut *text)))
    }

    /// Reads an escape, `\` included.
    fn escape(&mut self) -> Result<char, Refusal> {
        let from = self.at;
        self.at += 2;
        Ok(match self.input.get(from + 1) {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(*byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let mut unit = self.hex(from)?;
                if (0xd800..0xdc00).contains(&unit) {
                    let low = (self.take(b'\\') && self.take(b'u'))
                        .then(|| self.hex(from))
                        .transpose()?;
                    let low = low.filter(|low| (0xdc00..0xe000).contains(low));
                    unit = 0x1_0000
                        + ((unit - 0xd800) << 10)
                        + low.ok_or((ParseErrorKind::Surrogate, from))?
                        - 0xdc00;
                }
                char::from_u32(unit).ok_or((ParseErrorKind::Surrogate, from))?
            }
            _ => return Err((ParseErrorKind::Escape, from)),
        })
    }

    fn hex(&mut self, from: usize) -> Result<u32, Refusal> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            unit = unit * 16 + digit.ok_or((ParseErrorKind::Escape, from))?;
            self.at += 1;
        }
        Ok(unit)
    }

    fn number(&mut self) -> Result<Json, Refusal> {
        let begin = self.at;
        self.take(b'-');
        // A zero in front stands alone; "01" is a zero and something too much, as everywhere.
        if !self.take(b'0') && self.digits() == 0 {
            self.at = begin;
            return self.refuse(ParseErrorKind::Value);
        }
        let mut whole = true;
        for (mark, signs) in [(&b"."[..], &b""[..]), (b"eE", b"+-")] {
            if self.peek().is_some_and(|byte| mark.contains(&byte)) {
                whole = false;
                self.at += 1;
                if self.peek().is_some_and(|byte| signs.contains(&byte)) {
                    self.at += 1;
                }
                if self.digits() == 0 {
                    return self.refuse(ParseErrorKind::Value);
                }
            }
        }
        let digits = self.input.get(begin..self.at).unwrap_or_default();
        let digits = std::str::from_utf8(digits).unwrap_or_default();
        let exact = |digits: &str| match digits.parse::<u64>() {
            Ok(number) => Some(Number::from(number)),
            Err(_) => digits.parse::<i64>().ok().map(Number::from),
        };
        let number = if whole { exact(digits) } else { None };
        let number = number.or_else(|| digits.parse().ok().and_then(Number::from_f64));
        number
            .map(Json::Number)
            .ok_or((ParseErrorKind::Range, begin))
    }

    fn digits(&mut self) -> usize {
        let begin = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        self.at - begin
    }

    fn word(&mut self, word: &[u8], value: Json) -> Result<Json, Refusal> {
        if self.input.get(self.at..self.at + word.len()) != Some(word) {
            return self.refuse(ParseErrorKind::Value);
        }
        self.at += word.len();
        Ok(value)
    }

    fn blanks(&mut self) {
        while self
            .peek()
            .is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
        {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn refuse<T>(&self, kind: ParseErrorKind) -> Result<T, Refusal> {
        Err((kind, self.at))
    }
}

#[cfg(test)]
mod tests;

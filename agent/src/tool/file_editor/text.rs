//! A file's bytes as text, and back: its encoding and line ends are kept.

use super::Outcome;
use super::place::Place;
use crate::limits::EDITED_FILE_BYTES_MAX;

/// A text, and how it is written.
pub(super) struct Text {
    /// With bare newlines.
    pub(super) content: String,
    encoding: Encoding,
    /// Whether every line ends in a carriage return and a newline.
    returns: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Encoding {
    Utf8,
    /// With a byte order mark.
    Utf8Marked,
    Utf16Little,
    Utf16Big,
    Latin1,
}

const MARK: char = '\u{feff}';

impl Text {
    /// A new text.
    pub(super) fn utf8(content: &str) -> Self {
        Self {
            content: content.to_owned(),
            encoding: Encoding::Utf8,
            returns: false,
        }
    }

    /// The text of a file.
    pub(super) fn read(path: &str, place: &Place) -> Outcome<Self> {
        let bytes = place.read(path, EDITED_FILE_BYTES_MAX)?;
        Self::decode(&bytes).map_err(|at| {
            let byte = bytes.get(at).copied().unwrap_or_default();
            format!(
                "Cannot view {path}: file contains binary content that cannot be decoded as text. Error: byte 0x{byte:02x} in position {at} is no text in any known encoding"
            )
        })
    }

    /// Another content, written the same way.
    pub(super) fn with(self, content: String) -> Self {
        Self { content, ..self }
    }

    /// Puts the text into the file.
    pub(super) fn write(&self, path: &str, place: &Place) -> Outcome<()> {
        let bytes = self.encode().map_err(|letter| {
            format!(
                "{path} is written in Latin-1, which has no {letter:?} (U+{:04X}). It was not changed. Use another character, or convert the file to UTF-8 in the terminal first (iconv).",
                u32::from(letter)
            )
        })?;
        if bytes.len() as u64 > EDITED_FILE_BYTES_MAX {
            return Err(format!(
                "{path} would become too large ({} bytes; the limit is {EDITED_FILE_BYTES_MAX}). It was not changed. Write it in the terminal.",
                bytes.len()
            ));
        }
        place.write(path, &bytes)
    }

    /// The text, or the place of the first byte that is none.
    fn decode(bytes: &[u8]) -> Result<Self, usize> {
        let (encoding, content) = if let Some(rest) = bytes.strip_prefix(b"\xff\xfe") {
            (Encoding::Utf16Little, utf16(rest, u16::from_le_bytes)?)
        } else if let Some(rest) = bytes.strip_prefix(b"\xfe\xff") {
            (Encoding::Utf16Big, utf16(rest, u16::from_be_bytes)?)
        } else {
            match std::str::from_utf8(bytes) {
                Ok(text) => match (text.find('\0'), text.strip_prefix(MARK)) {
                    (Some(nul), _) => return Err(nul),
                    (None, Some(text)) => (Encoding::Utf8Marked, text.to_owned()),
                    (None, None) => (Encoding::Utf8, text.to_owned()),
                },
                Err(error) => {
                    if bytes.iter().any(|byte| is_binary(*byte)) {
                        return Err(error.valid_up_to());
                    }
                    (
                        Encoding::Latin1,
                        bytes.iter().map(|byte| char::from(*byte)).collect(),
                    )
                }
            }
        };
        let breaks = content.matches('\n').count();
        let returns = breaks > 0 && content.matches("\r\n").count() == breaks;
        let content = if returns {
            content.replace("\r\n", "\n")
        } else {
            content
        };
        Ok(Self {
            content,
            encoding,
            returns,
        })
    }

    /// The bytes, or the first character that the encoding lacks.
    fn encode(&self) -> Result<Vec<u8>, char> {
        let with_returns;
        let content = if self.returns {
            with_returns = self.content.replace('\n', "\r\n");
            &with_returns
        } else {
            &self.content
        };
        let marked = || std::iter::once(MARK).chain(content.chars());
        let units = || marked().flat_map(|letter| letter.encode_utf16(&mut [0; 2]).to_vec());
        Ok(match self.encoding {
            Encoding::Utf8 => content.clone().into_bytes(),
            Encoding::Utf8Marked => marked().collect::<String>().into_bytes(),
            Encoding::Utf16Little => units().flat_map(u16::to_le_bytes).collect(),
            Encoding::Utf16Big => units().flat_map(u16::to_be_bytes).collect(),
            Encoding::Latin1 => {
                let letters = content
                    .chars()
                    .map(|letter| u8::try_from(letter).map_err(|_| letter));
                letters.collect::<Result<_, _>>()?
            }
        })
    }
}

fn utf16(bytes: &[u8], unit: impl Fn([u8; 2]) -> u16) -> Result<String, usize> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(bytes.len() + 1);
    }
    let mut text = String::with_capacity(pairs.len());
    for letter in char::decode_utf16(pairs.iter().map(|pair| unit(*pair))) {
        match letter {
            Ok(letter) if letter != '\0' => text.push(letter),
            _ => return Err(2),
        }
    }
    Ok(text)
}

/// Bytes that no 8-bit text has: control characters, but for those that shape it.
fn is_binary(byte: u8) -> bool {
    matches!(byte, 0..=6 | 14..=26 | 28..=31 | 127)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], encoding: Encoding, content: &str) {
        let text = Text::decode(bytes).ok().unwrap();
        assert_eq!((text.encoding, text.content.as_str()), (encoding, content));
        assert_eq!(text.encode().unwrap(), bytes);
    }

    #[test]
    fn encodings_and_line_ends_are_kept() {
        check(b"", Encoding::Utf8, "");
        check("caf\u{e9}\n".as_bytes(), Encoding::Utf8, "café\n");
        check(
            "\u{feff}caf\u{e9}\n".as_bytes(),
            Encoding::Utf8Marked,
            "café\n",
        );
        check(b"caf\xe9\n", Encoding::Latin1, "café\n");
        check(b"\xff\xfeh\0\xe9\0\n\0", Encoding::Utf16Little, "hé\n");
        check(
            b"\xfe\xff\0h\xd8\x3d\xde\x00",
            Encoding::Utf16Big,
            "h\u{1f600}",
        );
        check(b"a\r\nb\r\n", Encoding::Utf8, "a\nb\n");
        check(b"a\r\nb\n", Encoding::Utf8, "a\r\nb\n");
        check(b"a\rb\n", Encoding::Utf8, "a\rb\n");
    }

    #[test]
    fn what_is_no_text_is_named() {
        for (bytes, at) in [
            (&b"a\xff\0b"[..], 1),
            (b"ab\0", 2),
            (b"\x7fELF\xff", 4),
            (b"\xff\xfea", 2),
            (b"\xff\xfe\0\xd8", 2),
        ] {
            assert_eq!(Text::decode(bytes).err(), Some(at), "{bytes:?}");
        }
        let latin = Text::decode(b"caf\xe9")
            .ok()
            .unwrap()
            .with("10 \u{20ac}".into());
        assert_eq!(latin.encode(), Err('\u{20ac}'));
    }

    proptest! {
        #[test]
        fn whatever_decodes_encodes_to_the_same(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(text) = Text::decode(&bytes) {
                prop_assert_eq!(text.encode().unwrap(), bytes);
            }
        }

        #[test]
        fn every_text_is_one(text in "[^\0]{0,40}") {
            prop_assert!(Text::decode(text.as_bytes()).is_ok());
        }
    }
}

//! Terminal output as the text that a person would see: without colours and other control sequences, with lines that
//! were overwritten (progress bars) in their last state, and without bytes that are no text.

use crate::limits::{TERMINAL_LINE_CHARS_MAX, TERMINAL_SEQUENCE_CHARS_MAX};

/// Draws one stream. What it gives depends on the bytes alone, not on how they were cut.
#[derive(Default)]
pub(super) struct Screen {
    line: Vec<char>,
    column: usize,
    state: State,
    /// The parameters of the sequence, or how much of a string was skipped.
    sequence: String,
    skipped: usize,
    /// The beginning of a character that is not all there.
    partial: Vec<u8>,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum State {
    #[default]
    Text,
    /// After ESC.
    Escape,
    /// After ESC and a byte that wants one more.
    Charset,
    /// In `ESC [`.
    Sequence,
    /// In a string (a title, say), until BEL or ESC \.
    Skipped,
    /// After an ESC in a string.
    SkippedEscape,
}

impl Screen {
    /// Draws `bytes`; whole lines go to `out`.
    pub(super) fn feed(&mut self, bytes: &[u8], out: &mut String) {
        let mut joined = std::mem::take(&mut self.partial);
        let mut rest = if joined.is_empty() {
            bytes
        } else {
            joined.extend_from_slice(bytes);
            &joined
        };
        loop {
            match std::str::from_utf8(rest) {
                Ok(text) => return self.draw(text, out),
                Err(error) => {
                    let (valid, broken) = rest.split_at(error.valid_up_to());
                    self.draw(std::str::from_utf8(valid).unwrap_or_default(), out);
                    match error.error_len() {
                        Some(len) => rest = broken.get(len..).unwrap_or_default(),
                        None => {
                            self.partial = broken.to_vec();
                            return;
                        }
                    }
                }
            }
        }
    }

    /// Gives the line that has not ended yet. What follows begins a new one.
    pub(super) fn flush(&mut self, out: &mut String) {
        out.extend(self.line.drain(..));
        self.column = 0;
    }

    fn draw(&mut self, text: &str, out: &mut String) {
        for letter in text.chars() {
            self.step(letter, out);
        }
    }

    fn step(&mut self, letter: char, out: &mut String) {
        match self.state {
            State::Text => match letter {
                '\n' => {
                    self.flush(out);
                    out.push('\n');
                }
                '\r' => self.column = 0,
                '\u{8}' => self.column = self.column.saturating_sub(1),
                '\t' => self.put('\t', out),
                '\u{1b}' => self.state = State::Escape,
                letter if letter.is_control() => {}
                letter => self.put(letter, out),
            },
            State::Escape => {
                self.state = match letter {
                    '[' => {
                        self.sequence.clear();
                        State::Sequence
                    }
                    ']' | 'P' | 'X' | '^' | '_' => {
                        self.skipped = 0;
                        State::Skipped
                    }
                    ' ' | '#' | '%' | '(' | ')' | '*' | '+' => State::Charset,
                    '\u{1b}' => State::Escape,
                    _ => State::Text,
                }
            }
            State::Charset => self.state = State::Text,
            State::Sequence => match letter {
                ' '..='?' if self.sequence.len() < TERMINAL_SEQUENCE_CHARS_MAX => {
                    self.sequence.push(letter)
                }
                '@'..='~' => {
                    self.state = State::Text;
                    self.obey(letter);
                }
                _ => {
                    self.state = State::Text;
                    self.step(letter, out);
                }
            },
            State::Skipped => match letter {
                '\u{7}' | '\u{9c}' => self.state = State::Text,
                '\u{1b}' => self.state = State::SkippedEscape,
                _ => {
                    self.skipped += 1;
                    if self.skipped > TERMINAL_SEQUENCE_CHARS_MAX {
                        self.state = State::Text;
                    }
                }
            },
            State::SkippedEscape => {
                if letter == '\\' {
                    self.state = State::Text;
                } else {
                    self.state = State::Escape;
                    self.step(letter, out);
                }
            }
        }
    }

    /// Puts a letter at the cursor.
    fn put(&mut self, letter: char, out: &mut String) {
        if self.line.len() < self.column {
            self.line.resize(self.column, ' ');
        }
        match self.line.get_mut(self.column) {
            Some(old) => *old = letter,
            None => self.line.push(letter),
        }
        self.column += 1;
        if self.line.len() >= TERMINAL_LINE_CHARS_MAX {
            self.flush(out);
        }
    }

    /// Moves within the line, or erases of it. Whatever reaches beyond it is not for a text without places.
    fn obey(&mut self, what: char) {
        let number = self
            .sequence
            .split(';')
            .next()
            .and_then(|number| number.parse::<usize>().ok());
        let count = number.unwrap_or(1).max(1);
        match what {
            'C' => {
                self.column = self
                    .column
                    .saturating_add(count)
                    .min(TERMINAL_LINE_CHARS_MAX - 1)
            }
            'D' => self.column = self.column.saturating_sub(count),
            'G' | '`' => self.column = (count - 1).min(TERMINAL_LINE_CHARS_MAX - 1),
            'K' => match number {
                None | Some(0) => self.line.truncate(self.column),
                Some(1) => {
                    let end = (self.column + 1).min(self.line.len());
                    self.line
                        .iter_mut()
                        .take(end)
                        .for_each(|letter| *letter = ' ');
                }
                Some(_) => self.line.clear(),
            },
            'P' => {
                let end = self.column.saturating_add(count).min(self.line.len());
                self.line.drain(self.column.min(end)..end);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn drawn(pieces: &[&[u8]]) -> String {
        let (mut screen, mut out) = (Screen::default(), String::new());
        for piece in pieces {
            screen.feed(piece, &mut out);
        }
        screen.flush(&mut out);
        out
    }

    #[track_caller]
    fn check(bytes: &[u8], text: &str) {
        assert_eq!(drawn(&[bytes]), text);
    }

    #[test]
    fn shows_what_a_person_sees() {
        check(b"\x1b[31mred\x1b[0m caf\xc3\xa9\n", "red café\n");
        check(b"\xff\xfe binary \x00 end\n", " binary  end\n");
        check(b"10%\r20%\r100%\n", "100%\n");
        check(b"long line\rshort\x1b[K\n", "short\n");
        check(b"abc\x08\x08X\n", "aXc\n");
        check(b"abc\x1b[2K\rx", "x");
        check(b"ab\x1b[5Gx\x1b[2Dy", "ab yx");
        check(
            b"\x1b]0;title\x07text\x1b]8;;http://x\x1b\\link",
            "textlink",
        );
        check(b"\x1b(B\x1b=\x1b[?2004hplain\x1b[?2004l", "plain");
        check(b"one\r\ntwo\r\n", "one\ntwo\n");
        check(b"a\tb\n", "a\tb\n");
        check(b"\x1b[1;1", "");
        check(b"\xf0\x9f\x98", "");
        check(b"abcdef\x1b[3D\x1b[2Pz", "abcz");
    }

    #[test]
    fn nothing_without_end_is_kept() {
        let mut screen = Screen::default();
        let mut out = String::new();
        for _ in 0..100 {
            screen.feed(&[b'x'; 10_000], &mut out);
            assert!(screen.line.len() <= TERMINAL_LINE_CHARS_MAX);
        }
        screen.flush(&mut out);
        assert_eq!(out.len(), 1_000_000);
        let text = [
            b"\x1b]".as_slice(),
            &[b'x'; 2 * TERMINAL_SEQUENCE_CHARS_MAX],
        ]
        .concat();
        assert!(drawn(&[&text]).len() >= TERMINAL_SEQUENCE_CHARS_MAX - 1);
        check(
            b"\x1b[99999999999999999999C\x1b[99999999Gx",
            &format!("{}x", " ".repeat(TERMINAL_LINE_CHARS_MAX - 1)),
        );
    }

    proptest! {
        #[test]
        fn the_pieces_do_not_matter(bytes in prop::collection::vec(
            prop_oneof![Just(0x1b), Just(b'['), Just(b']'), Just(b'\r'), Just(b'\n'), Just(0xc3), Just(0xa9), any::<u8>()], 0..80
        ), step in 1_usize..9) {
            let pieces: Vec<&[u8]> = bytes.chunks(step).collect();
            prop_assert_eq!(drawn(&pieces), drawn(&[&bytes]));
        }
    }
}

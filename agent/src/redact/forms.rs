//! The spellings under which a value may turn up in a text.
//!
//! Raw, base64, hex, percent-encoded, JSON-escaped and shell-quoted; for a value with blank ends also without
//! them, for one of several lines also with a terminal's line ends, and each line that is long enough to be
//! unique. An encoding that would come out shorter than [`MASKED_ANYWHERE_BYTES_MIN`] is left out: "31" is no
//! secret because the value "1" is. Knows nothing of matching.

mod escape;

use zeroize::Zeroizing;

use crate::limits::{
    MASKED_ANYWHERE_BYTES_MIN, MASKED_LINE_BYTES_MIN, MASKED_LINE_DISTINCT_MIN, MASKED_LINES_MAX,
};

/// Calls `visit` with every spelling of `value` that is looked for, the raw one first. A spelling may come
/// twice. It is lent from one buffer, which is wiped at the end; `visit` must not keep a copy.
///
/// Blank values, empty ones among them, have no spelling: every text would match.
pub fn each_form(value: &[u8], visit: &mut dyn FnMut(&[u8])) {
    let trimmed = value.trim_ascii();
    if trimmed.is_empty() {
        return;
    }
    // No escape is longer than six bytes for one, so the buffer never grows and leaves no copy behind.
    let mut forms = Forms {
        room: Zeroizing::new(Vec::with_capacity(value.len() * 6 + 8)),
        visit,
    };
    forms.spell(value);
    if trimmed.len() < value.len() {
        forms.spell(trimmed);
    }
    if trimmed.contains(&b'\n') {
        forms.with_terminal_line_ends(value);
        forms.lines(trimmed);
    }
    for columns in [64, 76] {
        forms.wrapped_base64(value, columns);
    }
}

/// Whether no text could be told from the value: it has no bytes, or only blanks.
pub(super) fn is_blank(value: &[u8]) -> bool {
    value.trim_ascii().is_empty()
}

struct Forms<'a> {
    room: Zeroizing<Vec<u8>>,
    visit: &'a mut dyn FnMut(&[u8]),
}

impl Forms<'_> {
    fn spell(&mut self, value: &[u8]) {
        (self.visit)(value);
        self.hex(value);
        self.base64(value);
        escape::each(value, &mut self.room, self.visit);
    }

    fn hex(&mut self, value: &[u8]) {
        for digits in [b"0123456789abcdef", b"0123456789ABCDEF"] {
            self.room.clear();
            for byte in value {
                self.room
                    .extend_from_slice(&escape::hex_pair(*byte, digits));
            }
            self.encoded(0, self.room.len());
        }
    }

    /// What stays the same in the base64 text of anything that contains `value`: with nought, one or two bytes
    /// before it, modulo three, the characters that depend on the value alone. Where nothing follows (or a
    /// newline, whose top bits are nought as well), the last character is known too, and the padding.
    fn base64(&mut self, value: &[u8]) {
        for (before, from) in [(0, 0), (1, 2), (2, 3)] {
            base64(&mut self.room, before, value);
            self.base64_ends(from, before + value.len());
            if to_url_alphabet(&mut self.room) {
                self.base64_ends(from, before + value.len());
            }
        }
    }

    fn base64_ends(&mut self, from: usize, bytes: usize) {
        let (alone, at_end) = (bytes * 8 / 6, (bytes * 8).div_ceil(6));
        self.encoded(from, alone);
        if at_end > alone {
            self.encoded(from, at_end);
            self.encoded(from, self.room.len());
        }
    }

    /// `base64` breaks its lines after 76 characters, PEM and openssl after 64. The whole text, and each of its
    /// lines for a text that shows only some of them.
    fn wrapped_base64(&mut self, value: &[u8], columns: usize) {
        if value.len() * 8 <= columns * 6 {
            return;
        }
        let mut line = Zeroizing::new(Vec::with_capacity(columns));
        for line_end in [&b"\n"[..], b"\r\n"] {
            self.room.clear();
            for (number, part) in value.chunks(columns / 4 * 3).enumerate() {
                if number > 0 {
                    self.room.extend_from_slice(line_end);
                }
                base64(&mut line, 0, part);
                self.room.extend_from_slice(&line);
            }
            let open = self
                .room
                .iter()
                .rev()
                .take_while(|byte| **byte == b'=')
                .count();
            self.encoded(0, self.room.len() - open);
            self.encoded(0, self.room.len());
        }
        for part in value.chunks(columns / 4 * 3).take(MASKED_LINES_MAX) {
            base64(&mut self.room, 0, part);
            self.base64_ends(0, part.len());
        }
    }

    /// A terminal writes CR LF where a program wrote LF.
    fn with_terminal_line_ends(&mut self, value: &[u8]) {
        self.room.clear();
        for byte in value {
            if *byte == b'\n' && self.room.last() != Some(&b'\r') {
                self.room.push(b'\r');
            }
            self.room.push(*byte);
        }
        self.encoded(0, self.room.len());
    }

    fn lines(&mut self, value: &[u8]) {
        let unique = value
            .split(|byte| *byte == b'\n')
            .map(<[u8]>::trim_ascii)
            .filter(|line| is_unique(line));
        for line in unique.take(MASKED_LINES_MAX) {
            self.spell(line);
        }
    }

    /// Passes a part of the buffer on, unless it is so short that it could be anything.
    fn encoded(&mut self, from: usize, to: usize) {
        if let Some(form) = self.room.get(from..to)
            && form.len() >= MASKED_ANYWHERE_BYTES_MIN
        {
            (self.visit)(form);
        }
    }
}

/// Whether a line stands for its value. PEM's own lines are in every key, and in texts about keys.
fn is_unique(line: &[u8]) -> bool {
    let mut seen = [false; 256];
    let mut distinct = 0;
    for byte in line {
        if let Some(seen) = seen.get_mut(usize::from(*byte)) {
            distinct += usize::from(!std::mem::replace(seen, true));
        }
    }
    line.len() >= MASKED_LINE_BYTES_MIN
        && distinct >= MASKED_LINE_DISTINCT_MIN
        && !line.starts_with(b"-----BEGIN ")
        && !line.starts_with(b"-----END ")
}

/// Writes the padded base64 text of `before` zero bytes and `value` over `out`. Ours because the usual encoder
/// makes a new `String` for each text, and can't be given its bytes in two parts.
fn base64(out: &mut Vec<u8>, before: usize, value: &[u8]) {
    out.clear();
    let (head, rest) = value
        .split_at_checked((3 - before) % 3)
        .unwrap_or((value, &[]));
    if before > 0 {
        let mut first = [0; 3];
        first
            .iter_mut()
            .skip(before)
            .zip(head)
            .for_each(|(to, from)| *to = *from);
        group(out, first, before + head.len());
    }
    let (groups, last) = rest.as_chunks::<3>();
    for bytes in groups {
        group(out, *bytes, 3);
    }
    match *last {
        [a] => group(out, [a, 0, 0], 1),
        [a, b] => group(out, [a, b, 0], 2),
        _ => {}
    }
}

#[inline(always)]
fn group(out: &mut Vec<u8>, bytes: [u8; 3], known: usize) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits = usize::from(bytes[0]) << 16 | usize::from(bytes[1]) << 8 | usize::from(bytes[2]);
    #[expect(
        clippy::indexing_slicing,
        reason = "six bits index sixty-four characters"
    )]
    let mut text = [18, 12, 6, 0].map(|shift| ALPHABET[bits >> shift & 63]);
    text.iter_mut()
        .skip(known + 1)
        .for_each(|character| *character = b'=');
    out.extend_from_slice(&text);
}

/// Whether it changed anything.
fn to_url_alphabet(text: &mut [u8]) -> bool {
    let mut changed = false;
    for character in text {
        let other = match *character {
            b'+' => b'-',
            b'/' => b'_',
            _ => continue,
        };
        *character = other;
        changed = true;
    }
    changed
}

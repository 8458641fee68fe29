//! Spellings that keep most characters and escape some: percent, JSON, shell.
//!
//! Each style is told by the characters it escapes, so one look at the value says which styles change it at
//! all: a value of letters and digits has only its raw spelling, at no cost.

const LOWER: &[u8; 16] = b"0123456789abcdef";
const UPPER: &[u8; 16] = b"0123456789ABCDEF";

/// The two hex digits of `byte`.
pub(super) fn hex_pair(byte: u8, digits: &[u8; 16]) -> [u8; 2] {
    #[expect(clippy::indexing_slicing, reason = "four bits index sixteen digits")]
    [byte >> 4, byte & 15].map(|nibble| digits[usize::from(nibble)])
}

/// Calls `visit` with every escaped spelling of `value` that differs from it, written into `room`. `room` has
/// space for six times the value.
pub(super) fn each(value: &[u8], room: &mut Vec<u8>, visit: &mut dyn FnMut(&[u8])) {
    let present = value
        .iter()
        .fold(Chars(0, false), |set, byte| set.with(*byte));
    percent(value, present, room, visit);
    json(value, present, room, visit);
    shell(value, present, room, visit);
}

/// A set of ASCII characters, and whether there are bytes beyond ASCII.
#[derive(Clone, Copy, PartialEq)]
struct Chars(u128, bool);

impl Chars {
    const ALPHANUMERIC: Self =
        Self::of(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789");
    const CONTROL: Self = Self(0xffff_ffff | 1 << 127, false);

    const fn of(text: &[u8]) -> Self {
        let (mut set, mut rest) = (Self(0, false), text);
        while let [byte, more @ ..] = rest {
            set = set.with(*byte);
            rest = more;
        }
        set
    }

    const fn with(self, byte: u8) -> Self {
        if byte < 128 {
            Self(self.0 | 1 << byte, self.1)
        } else {
            Self(self.0, true)
        }
    }

    const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0, self.1 || other.1)
    }

    const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0, self.1 && other.1)
    }

    const fn not(self) -> Self {
        Self(!self.0, !self.1)
    }

    const fn has(self, byte: u8) -> bool {
        if byte < 128 {
            self.0 >> byte & 1 != 0
        } else {
            self.1
        }
    }

    const fn is_empty(self) -> bool {
        self.0 == 0 && !self.1
    }
}

/// What percent-encoders in use leave alone beside letters and digits, and whether a space becomes "+".
const PERCENT: [(Chars, bool); 9] = [
    (Chars::of(b"-_.~"), false), // RFC 3986 unreserved: curl, Python with safe=''
    (Chars::of(b"-_.~/"), false), // Python's quote
    (Chars::of(b"-_.!~*'()"), false), // encodeURIComponent
    (Chars::of(b"-_.!~*'();,/?:@&=+$#"), false), // encodeURI
    (Chars::of(b"-_.~$&+=:@"), false), // Go's PathEscape
    (Chars::of(b"-_.!~*'()$&,;=+"), false), // the name and password of a URL
    (Chars::of(b"-_.~"), true),  // Python's quote_plus, Go's QueryEscape
    (Chars::of(b"*-._"), true),  // HTML forms, Java's URLEncoder
    (
        Chars::of(b"%: /?#[]@!$&'()*+,;=").or(Chars::CONTROL).not(),
        false,
    ), // the reserved characters only
];

fn percent(value: &[u8], present: Chars, room: &mut Vec<u8>, visit: &mut dyn FnMut(&[u8])) {
    let mut done = [None; PERCENT.len()];
    for (slot, (kept, plus)) in PERCENT.iter().enumerate() {
        let escaped = present.and(kept.or(Chars::ALPHANUMERIC).not());
        let way = Some((escaped, *plus && present.has(b' ')));
        if escaped.is_empty() || done.contains(&way) {
            continue;
        }
        if let Some(done) = done.get_mut(slot) {
            *done = way;
        }
        for digits in [LOWER, UPPER] {
            write(value, room, visit, |byte, out| match byte {
                b' ' if *plus => out.push(b'+'),
                _ if escaped.has(byte) => {
                    out.push(b'%');
                    out.extend_from_slice(&hex_pair(byte, digits));
                }
                _ => out.push(byte),
            });
        }
    }
}

/// RFC 8259 leaves a choice: hex digits in either case, "/" escaped or not (PHP), everything beyond ASCII
/// escaped or not (Python), and "<", ">", "&" kept out of HTML (Go).
fn json(value: &[u8], present: Chars, room: &mut Vec<u8>, visit: &mut dyn FnMut(&[u8])) {
    const HTML: Chars = Chars::of(b"<>&");
    const ALWAYS: Chars = Chars(0xffff_ffff, false).or(Chars::of(b"\"\\"));
    let text = std::str::from_utf8(value).ok();
    let beyond = present.1 && text.is_some() || present.has(0x7f);
    let coded = beyond || !present.and(HTML.or(Chars::CONTROL)).is_empty();
    for choice in 0..16 {
        let [slash, html, ascii, upper] = [1, 2, 4, 8].map(|bit| choice & bit != 0);
        let pointless = slash && !present.has(b'/')
            || html && present.and(HTML).is_empty()
            || ascii && !beyond
            || upper && !coded
            || choice == 0 && present.and(ALWAYS).is_empty();
        if pointless {
            continue;
        }
        let digits = if upper { UPPER } else { LOWER };
        let byte_out = |byte: u8, out: &mut Vec<u8>| match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            8 => out.extend_from_slice(b"\\b"),
            12 => out.extend_from_slice(b"\\f"),
            b'/' if slash => out.extend_from_slice(b"\\/"),
            0x7f if ascii => unit(0x7f, digits, out),
            _ if byte < 32 || html && HTML.has(byte) => unit(byte.into(), digits, out),
            _ => out.push(byte),
        };
        match text.filter(|_| ascii) {
            None => write(value, room, visit, byte_out),
            Some(text) => {
                room.clear();
                for character in text.chars() {
                    match u8::try_from(character) {
                        Ok(byte) if byte < 128 => byte_out(byte, room),
                        _ => character
                            .encode_utf16(&mut [0; 2])
                            .iter()
                            .for_each(|code| unit(*code, digits, room)),
                    }
                }
                visit(room);
            }
        }
    }
}

/// `\u` and four digits.
fn unit(code: u16, digits: &[u8; 16], out: &mut Vec<u8>) {
    let [high, low] = code.to_be_bytes();
    out.extend_from_slice(b"\\u");
    out.extend_from_slice(&hex_pair(high, digits));
    out.extend_from_slice(&hex_pair(low, digits));
}

fn shell(value: &[u8], present: Chars, room: &mut Vec<u8>, visit: &mut dyn FnMut(&[u8])) {
    const DOUBLE: Chars = Chars::of(b"\\\"$`");
    const WORD: Chars = Chars::of(b" \t!\"$&'()*,;<>?[\\]^`{|}");
    const QUOTE: Chars = Chars::of(b"'");
    const BACKSLASH: Chars = Chars::of(b"\\");
    let backslashed = |set: Chars| {
        move |byte: u8, out: &mut Vec<u8>| {
            if set.has(byte) {
                out.push(b'\\');
            }
            out.push(byte);
        }
    };
    // '..' ends, adds a quote, and starts again: in bash and in Python's shlex.
    for quote in [&b"'\\''"[..], b"'\"'\"'"] {
        if present.has(b'\'') {
            write(value, room, visit, |byte, out| match byte {
                b'\'' => out.extend_from_slice(quote),
                _ => out.push(byte),
            });
        }
    }
    // ".." and printf %q.
    for set in [DOUBLE, WORD] {
        if !present.and(set).is_empty() {
            write(value, room, visit, backslashed(set));
        }
    }
    // $'..', with what is beyond ASCII as it is or in octal.
    for octal in [false, true] {
        let set = Chars::CONTROL.or(QUOTE).or(BACKSLASH).or(Chars(0, octal));
        if !present.and(set).is_empty() && (!octal || present.1) {
            write(value, room, visit, |byte, out| {
                if byte == 27 {
                    out.extend_from_slice(b"\\E");
                } else if let Some(letter) = ansi_letter(byte) {
                    out.extend_from_slice(&[b'\\', letter]);
                } else if set.has(byte) {
                    out.extend_from_slice(&[
                        b'\\',
                        b'0' + (byte >> 6),
                        b'0' + (byte >> 3 & 7),
                        b'0' + (byte & 7),
                    ]);
                } else {
                    out.push(byte);
                }
            });
        }
    }
    // The quotation of Python's repr and of many logs: quotes stay as they are where the other kind encloses them.
    if !present.and(Chars::CONTROL.or(BACKSLASH)).is_empty() {
        write(value, room, visit, |byte, out| match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ if Chars::CONTROL.has(byte) => {
                out.extend_from_slice(b"\\x");
                out.extend_from_slice(&hex_pair(byte, LOWER));
            }
            _ => out.push(byte),
        });
    }
}

fn ansi_letter(byte: u8) -> Option<u8> {
    Some(match byte {
        7 => b'a',
        8 => b'b',
        12 => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        11 => b'v',
        b'\\' | b'\'' => byte,
        _ => return None,
    })
}

fn write(
    value: &[u8],
    room: &mut Vec<u8>,
    visit: &mut dyn FnMut(&[u8]),
    mut put: impl FnMut(u8, &mut Vec<u8>),
) {
    room.clear();
    for byte in value {
        put(*byte, room);
    }
    visit(room);
}

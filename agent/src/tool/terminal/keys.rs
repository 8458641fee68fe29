//! Input for a running program: keys by name, or a line of text.

/// What is to be typed.
pub(super) struct Keys {
    pub(super) bytes: Vec<u8>,
    /// The letter of a control key: `C` of `C-c`.
    pub(super) control: Option<char>,
}

impl Keys {
    /// Of what a model wrote: the name of a key, or text, which gets an Enter at its end.
    pub(super) fn named(input: &str) -> Self {
        let name = input.trim();
        let control = control(name);
        if let Some(letter) = control {
            return Self {
                bytes: vec![letter as u8 & 0x1f],
                control,
            };
        }
        let bytes: &[u8] = match name {
            "UP" => b"\x1b[A",
            "DOWN" => b"\x1b[B",
            "RIGHT" => b"\x1b[C",
            "LEFT" => b"\x1b[D",
            "HOME" => b"\x1b[H",
            "END" => b"\x1b[F",
            "PGUP" => b"\x1b[5~",
            "PGDN" => b"\x1b[6~",
            "TAB" => b"\t",
            "ESC" => b"\x1b",
            "BS" => b"\x7f",
            "ENTER" => b"\r",
            _ => {
                let text = input.strip_suffix('\n').unwrap_or(input);
                let mut bytes = text.replace('\n', "\r").into_bytes();
                bytes.push(b'\r');
                return Self {
                    bytes,
                    control: None,
                };
            }
        };
        Self {
            bytes: bytes.to_vec(),
            control: None,
        }
    }
}

/// The letter of `C-x`, in upper case.
fn control(name: &str) -> Option<char> {
    let mut letters = name.strip_prefix("C-")?.chars();
    let letter = letters.next()?.to_ascii_uppercase();
    let known = letter.is_ascii_uppercase() || matches!(letter, '[' | '\\' | ']' | '^' | '_');
    (letters.next().is_none() && known).then_some(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_names_and_lines_an_enter() {
        for (input, bytes, letter) in [
            ("C-c", &b"\x03"[..], Some('C')),
            (" C-D\n", b"\x04", Some('D')),
            ("C-z", b"\x1a", Some('Z')),
            ("C-\\", b"\x1c", Some('\\')),
            ("UP", b"\x1b[A", None),
            ("ENTER", b"\r", None),
            ("Bob", b"Bob\r", None),
            ("two\nlines\n", b"two\rlines\r", None),
            ("C-cc", b"C-cc\r", None),
            ("C-é", "C-é\r".as_bytes(), None),
        ] {
            let keys = Keys::named(input);
            assert_eq!(
                (keys.bytes.as_slice(), keys.control),
                (bytes, letter),
                "{input:?}"
            );
        }
    }
}

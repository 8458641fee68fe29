//! Frames and messages: RFC 6455, section 5, for one who reads masked frames and writes bare ones. No I/O.

use std::str;

use zeroize::{Zeroize, Zeroizing};

use crate::body::append;
use crate::limits::{FRAME_ROOM_BYTES, MESSAGE_BYTES_MAX};

/// Normal end.
pub const NORMAL: u16 = 1000;
/// The peer broke the protocol.
pub const PROTOCOL: u16 = 1002;
/// Text that is none.
pub const NO_TEXT: u16 = 1007;
/// A message above [`MESSAGE_BYTES_MAX`].
pub const TOO_BIG: u16 = 1009;
/// The server stops and may come back.
pub const RESTART: u16 = 1012;
/// The peer is too slow, or there are too many: to come again later.
pub const LATER: u16 = 1013;

/// The longest payload of a ping, a pong or a close.
const CONTROL_BYTES_MAX: usize = 125;

/// The kinds of frames that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A whole text.
    Text = 1,
    /// The last word.
    Close = 8,
    /// Are you there?
    Ping = 9,
    /// The answer to it.
    Pong = 10,
}

/// What came in.
pub enum Incoming {
    /// A whole text message, which is UTF-8.
    Text(Zeroizing<Vec<u8>>),
    /// A whole binary message; what was in it is gone.
    Binary,
    /// To be answered with the same bytes.
    Ping(Vec<u8>),
    /// An answer to a ping.
    Pong,
    /// The peer wants to end.
    Close,
}

/// Why nothing more can be read; its number goes into the closing frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault(pub u16);

/// The start of a frame of `len` bytes, written into `room`; gives how long it is.
pub fn head(kind: Kind, len: usize, room: &mut [u8; 10]) -> usize {
    const FINAL: u8 = 0x80;
    let [first, short, long @ ..] = room;
    *first = FINAL | kind as u8;
    let wide = (len as u64).to_be_bytes();
    match len {
        0..126 => {
            *short = len as u8;
            2
        }
        126..0x1_0000 => {
            *short = 126;
            for (to, from) in long.iter_mut().zip(wide.into_iter().skip(6)) {
                *to = from;
            }
            4
        }
        _ => {
            *short = 127;
            *long = wide;
            10
        }
    }
}

/// Makes messages of the bytes that come in. Holds one read's worth of raw bytes, and the message so far; used
/// bytes are wiped.
pub struct Reader {
    raw: Zeroizing<Box<[u8]>>,
    filled: usize,
    frame: Option<Frame>,
    /// The message so far, and whether it is text.
    message: Zeroizing<Vec<u8>>,
    text: Option<bool>,
    /// The payload of the control frame that is being read.
    control: Vec<u8>,
}

/// A frame whose payload is being read.
struct Frame {
    last: bool,
    code: Code,
    key: [u8; 4],
    len: usize,
    seen: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Code {
    More,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            raw: Zeroizing::new(vec![0; FRAME_ROOM_BYTES].into_boxed_slice()),
            filled: 0,
            frame: None,
            message: Zeroizing::default(),
            text: None,
            control: Vec::new(),
        }
    }
}

impl Reader {
    /// Where the next bytes go. Never empty once [`incoming`](Self::incoming) gave `None`.
    pub fn room(&mut self) -> &mut [u8] {
        self.raw.get_mut(self.filled..).unwrap_or_default()
    }

    /// `count` bytes were put into [`room`](Self::room).
    pub fn filled(&mut self, count: usize) {
        self.filled = self.raw.len().min(self.filled + count);
    }

    /// The next message or control frame; `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`Fault`]; nothing can be read after it.
    pub fn incoming(&mut self) -> Result<Option<Incoming>, Fault> {
        loop {
            let frame = match self.frame.take() {
                Some(frame) => frame,
                None => match self.begin()? {
                    Some(frame) => frame,
                    None => return Ok(None),
                },
            };
            let Some(frame) = self.payload(frame)? else {
                return Ok(None);
            };
            if let Some(incoming) = self.end(&frame)? {
                return Ok(Some(incoming));
            }
        }
    }

    /// Reads the start of a frame.
    fn begin(&mut self) -> Result<Option<Frame>, Fault> {
        let [first, second, rest @ ..] = self.raw.get(..self.filled).unwrap_or_default() else {
            return Ok(None);
        };
        let last = first & 0x80 != 0;
        let code = match first & 0x7f {
            0 => Code::More,
            1 => Code::Text,
            2 => Code::Binary,
            8 => Code::Close,
            9 => Code::Ping,
            10 => Code::Pong,
            // Other codes, and bits that belong to extensions.
            _ => return Err(Fault(PROTOCOL)),
        };
        // A client masks every frame.
        if second & 0x80 == 0 {
            return Err(Fault(PROTOCOL));
        }
        let (len, width) = match (second & 0x7f, rest) {
            (126, [a, b, ..]) => (u64::from(u16::from_be_bytes([*a, *b])), 2),
            (127, [a, b, c, d, e, f, g, h, ..]) => {
                (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), 8)
            }
            (126 | 127, _) => return Ok(None),
            (short, _) => (u64::from(short), 0),
        };
        let Some(&key) = rest.get(width..).and_then(<[u8]>::first_chunk::<4>) else {
            return Ok(None);
        };
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        self.check(code, last, len)?;
        self.consume(2 + width + 4);
        Ok(Some(Frame {
            last,
            code,
            key,
            len,
            seen: 0,
        }))
    }

    /// What may follow what.
    fn check(&mut self, code: Code, last: bool, len: usize) -> Result<(), Fault> {
        match code {
            Code::Close | Code::Ping | Code::Pong if !last || len > CONTROL_BYTES_MAX => {
                Err(Fault(PROTOCOL))
            }
            Code::Close | Code::Ping | Code::Pong => Ok(()),
            Code::More if self.text.is_none() => Err(Fault(PROTOCOL)),
            Code::Text | Code::Binary if self.text.is_some() => Err(Fault(PROTOCOL)),
            _ if len > MESSAGE_BYTES_MAX - self.message.len() => Err(Fault(TOO_BIG)),
            Code::Text | Code::Binary => {
                self.text = Some(code == Code::Text);
                Ok(())
            }
            Code::More => Ok(()),
        }
    }

    /// Takes what is there of a payload; gives the frame back when it is whole.
    fn payload(&mut self, mut frame: Frame) -> Result<Option<Frame>, Fault> {
        let count = self.filled.min(frame.len - frame.seen);
        let bytes = self.raw.get_mut(..count).unwrap_or_default();
        let key = frame.key.iter().cycle().skip(frame.seen % 4);
        bytes
            .iter_mut()
            .zip(key)
            .for_each(|(byte, key)| *byte ^= key);
        match frame.code {
            Code::Close | Code::Ping | Code::Pong => self.control.extend_from_slice(bytes),
            Code::More | Code::Text | Code::Binary => {
                append(&mut self.message, &mut &*bytes, MESSAGE_BYTES_MAX)
                    .map_err(|_| Fault(TOO_BIG))?;
            }
        }
        frame.seen += count;
        self.consume(count);
        if frame.seen == frame.len {
            return Ok(Some(frame));
        }
        self.frame = Some(frame);
        Ok(None)
    }

    /// What a whole frame comes to.
    fn end(&mut self, frame: &Frame) -> Result<Option<Incoming>, Fault> {
        let control = match frame.code {
            Code::Close => Incoming::Close,
            Code::Ping => Incoming::Ping(std::mem::take(&mut self.control)),
            Code::Pong => Incoming::Pong,
            Code::More | Code::Text | Code::Binary => {
                return if frame.last {
                    self.whole().map(Some)
                } else {
                    Ok(None)
                };
            }
        };
        self.control.clear();
        Ok(Some(control))
    }

    fn whole(&mut self) -> Result<Incoming, Fault> {
        let message = std::mem::take(&mut self.message);
        match self.text.take() {
            Some(true) if str::from_utf8(&message).is_err() => Err(Fault(NO_TEXT)),
            Some(true) => Ok(Incoming::Text(message)),
            _ => Ok(Incoming::Binary),
        }
    }

    /// Forgets the first `count` raw bytes, and wipes what they leave behind.
    fn consume(&mut self, count: usize) {
        let count = count.min(self.filled);
        self.raw.copy_within(count..self.filled, 0);
        let kept = self.filled - count;
        if let Some(stale) = self.raw.get_mut(kept..self.filled) {
            stale.zeroize();
        }
        self.filled = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A frame as a client sends it.
    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut room = [0; 10];
        let len = head(Kind::Text, payload.len(), &mut room);
        room[0] = first;
        room[1] |= 0x80;
        let key = [0x37, 0xfa, 0x21, 0x3d];
        let mut frame = room[..len].to_vec();
        frame.extend_from_slice(&key);
        frame.extend(
            payload
                .iter()
                .zip(key.iter().cycle())
                .map(|(byte, key)| byte ^ key),
        );
        frame
    }

    /// What comes of these bytes in pieces of `step`.
    fn read(bytes: &[u8], step: usize) -> Vec<String> {
        let (mut reader, mut found) = (Reader::default(), Vec::new());
        let mut rest = bytes;
        loop {
            match reader.incoming() {
                Ok(Some(incoming)) => found.push(shown(incoming)),
                Err(Fault(code)) => {
                    found.push(code.to_string());
                    return found;
                }
                Ok(None) if rest.is_empty() => return found,
                Ok(None) => {
                    let room = reader.room();
                    let count = rest.len().min(step).min(room.len());
                    room[..count].copy_from_slice(&rest[..count]);
                    reader.filled(count);
                    rest = &rest[count..];
                }
            }
        }
    }

    fn shown(incoming: Incoming) -> String {
        match incoming {
            Incoming::Text(text) => format!("text {}", str::from_utf8(&text).unwrap()),
            Incoming::Binary => "binary".into(),
            Incoming::Ping(bytes) => format!("ping {bytes:?}"),
            Incoming::Pong => "pong".into(),
            Incoming::Close => "close".into(),
        }
    }

    #[test]
    fn the_frames_of_the_rfc_are_read() {
        let hello = [
            0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
        ];
        assert_eq!(read(&hello, 1), ["text Hello"]);
        let bare = [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f];
        assert_eq!(read(&bare, 1), ["1002"]);
    }

    #[test]
    fn a_message_in_frames_is_one_and_a_ping_may_come_between() {
        let frames = [
            masked(0x01, b"on"),
            masked(0x89, &[7]),
            masked(0x00, b""),
            masked(0x80, b"e"),
            masked(0x82, b"\xff"),
            masked(0x8a, b""),
            masked(0x88, b""),
        ];
        let expected = ["ping [7]", "text one", "binary", "pong", "close"];
        for step in [1, 3, 1000] {
            assert_eq!(read(&frames.concat(), step), expected);
        }
    }

    #[test]
    fn what_breaks_the_rules_is_told_by_number() {
        let text = |size: usize| masked(0x81, &vec![b'a'; size]);
        let cases: [(Vec<u8>, u16); 8] = [
            (masked(0xc1, b"compressed"), PROTOCOL),
            (masked(0x83, b"unknown"), PROTOCOL),
            (masked(0x80, b"goes on with nothing"), PROTOCOL),
            ([masked(0x01, b"a"), masked(0x81, b"b")].concat(), PROTOCOL),
            (masked(0x09, b"a ping in pieces"), PROTOCOL),
            (masked(0x89, &[0; 126]), PROTOCOL),
            (masked(0x81, b"\xff"), NO_TEXT),
            (text(MESSAGE_BYTES_MAX + 1), TOO_BIG),
        ];
        for (bytes, code) in cases {
            assert_eq!(read(&bytes, 4096), [code.to_string()]);
        }
        let half = vec![b'a'; MESSAGE_BYTES_MAX];
        let more = [masked(0x01, &half), masked(0x80, b"b")].concat();
        assert_eq!(read(&more, 4096), [TOO_BIG.to_string()]);
        assert_eq!(read(&text(MESSAGE_BYTES_MAX), 4096).len(), 1);
    }

    #[test]
    fn used_bytes_are_wiped() {
        let mut reader = Reader::default();
        let frame = masked(0x81, b"{\"session_api_key\":\"canary-canary\"}");
        reader.room()[..frame.len()].copy_from_slice(&frame);
        reader.filled(frame.len());
        assert!(matches!(reader.incoming(), Ok(Some(Incoming::Text(_)))));
        assert!(reader.raw.iter().all(|&byte| byte == 0));
        assert!(reader.message.is_empty());
    }

    #[test]
    fn lengths_are_written_in_their_shortest_form() {
        for (len, expected) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let mut room = [0; 10];
            assert_eq!(head(Kind::Text, len, &mut room), expected, "{len}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_the_same_however_they_are_cut(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            step in 1_usize..50,
        ) {
            prop_assert_eq!(read(&bytes, step), read(&bytes, 300));
        }
    }
}

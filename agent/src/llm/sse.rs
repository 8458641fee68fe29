//! Server-sent events, from bytes cut anywhere. Pure data.

use crate::limits::LLM_STREAM_EVENT_BYTES_MAX;

/// Collects bytes into events.
#[derive(Debug, Default)]
pub(crate) struct Events {
    /// The line that has not ended yet.
    line: Vec<u8>,
    /// Whether the line before ended in a carriage return, so that a line feed now belongs to it.
    after_return: bool,
    data: Vec<u8>,
    has_data: bool,
    begun: bool,
}

/// An event is larger than [`LLM_STREAM_EVENT_BYTES_MAX`], or what `take` says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SseError<E> {
    TooBig,
    Taker(E),
}

impl Events {
    /// Takes the next bytes and hands each event that is complete to `take`: its data, lines joined.
    pub(crate) fn push<E>(
        &mut self,
        mut bytes: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), SseError<E>> {
        while let Some((&first, rest)) = bytes.split_first() {
            if std::mem::take(&mut self.after_return) && first == b'\n' {
                bytes = rest;
                continue;
            }
            let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let (piece, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            if self.line.len() + self.data.len() + piece.len() > LLM_STREAM_EVENT_BYTES_MAX {
                return Err(SseError::TooBig);
            }
            self.line.extend_from_slice(piece);
            bytes = match rest.split_first() {
                Some((ending, rest)) => {
                    self.after_return = *ending == b'\r';
                    self.end_line(&mut take)?;
                    rest
                }
                None => rest,
            };
        }
        Ok(())
    }

    fn end_line<E>(
        &mut self,
        take: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), SseError<E>> {
        let mut line = std::mem::take(&mut self.line);
        if !std::mem::replace(&mut self.begun, true) && line.starts_with(b"\xef\xbb\xbf") {
            line.drain(..3);
        }
        if line.is_empty() {
            if std::mem::take(&mut self.has_data) {
                take(&self.data).map_err(SseError::Taker)?;
            }
            self.data.clear();
        } else {
            let (field, value) = match line.iter().position(|byte| *byte == b':') {
                Some(at) => line.split_at(at),
                None => (line.as_slice(), &b""[..]),
            };
            let value = value.strip_prefix(b":").unwrap_or(value);
            let value = value.strip_prefix(b" ").unwrap_or(value);
            if field == b"data" {
                if std::mem::replace(&mut self.has_data, true) {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value);
            }
        }
        // The line's memory serves the next one.
        line.clear();
        self.line = line;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    fn collect<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
        let mut events = Events::default();
        let mut found = Vec::new();
        for piece in pieces {
            let pushed = events.push(piece, |data| {
                found.push(String::from_utf8(data.to_vec()).unwrap());
                Ok::<(), Infallible>(())
            });
            assert_eq!(pushed, Ok(()));
        }
        found
    }

    const STREAM: &str = "\u{feff}data: one\n\n: comment\nevent: ping\n\nevent: x\r\ndata:two\r\ndata: lines\r\n\r\n\
        data\rdata: \u{e9}\r\rid: 4\nretry: 5\ndata:  [DONE]\n\ndata: never ended";

    #[test]
    fn reads_what_the_standard_allows() {
        assert_eq!(
            collect([STREAM.as_bytes()]),
            ["one", "two\nlines", "\n\u{e9}", " [DONE]"]
        );
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut events = Events::default();
        let piece = vec![b'x'; 1 << 20];
        let refused = (0..=LLM_STREAM_EVENT_BYTES_MAX >> 20)
            .find_map(|_| events.push(&piece, |_| Ok::<(), Infallible>(())).err());
        assert_eq!(refused, Some(SseError::TooBig));
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same_events(mut cuts in proptest::collection::vec(0..STREAM.len(), 0..12)) {
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut start = 0;
            for cut in cuts.into_iter().chain([STREAM.len()]) {
                pieces.push(&STREAM.as_bytes()[start..cut]);
                start = cut;
            }
            prop_assert_eq!(collect(pieces), collect([STREAM.as_bytes()]));
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut events = Events::default();
            let _ = events.push(&bytes, |_| Ok::<(), Infallible>(()));
        }
    }
}

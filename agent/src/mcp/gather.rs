//! Bytes of a server until they are whole: bounded, and wiped when they are let go.

use zeroize::{Zeroize as _, Zeroizing};

use super::Fault;
use crate::limits::MCP_MESSAGE_BYTES_MAX;

/// One message that comes in pieces. Grows by hand: a vector that grows by itself leaves its old bytes behind.
pub(super) struct Gathered(Zeroizing<Vec<u8>>);

impl Gathered {
    pub(super) fn new() -> Self {
        Self(Zeroizing::new(Vec::new()))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Adds a piece.
    ///
    /// # Errors
    /// [`Fault::TooLong`].
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<(), Fault> {
        let wanted = self.0.len() + piece.len();
        if wanted > MCP_MESSAGE_BYTES_MAX {
            return Err(Fault::TooLong);
        }
        if wanted > self.0.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(wanted.next_power_of_two()));
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
        self.0.extend_from_slice(piece);
        Ok(())
    }

    /// Cuts a stream into lines: each that is whole is lent to `take`. A line's memory serves the next one, wiped,
    /// unless it was a long one.
    ///
    /// # Errors
    /// [`Fault::TooLong`], and what `take` says.
    pub(super) fn lines(
        &mut self,
        mut bytes: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        const KEPT_BYTES: usize = 64 << 10;
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (piece, rest) = bytes.split_at(end);
            self.push(piece)?;
            let line = self.0.strip_suffix(b"\r").unwrap_or(&self.0);
            if !line.trim_ascii().is_empty() {
                take(line)?;
            }
            if self.0.capacity() > KEPT_BYTES {
                *self = Self::new();
            } else {
                self.0.as_mut_slice().zeroize();
                self.0.clear();
            }
            bytes = rest.get(1..).unwrap_or_default();
        }
        self.push(bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
        let (mut gathered, mut found) = (Gathered::new(), Vec::new());
        for piece in pieces {
            let taken = gathered.lines(piece, |line| {
                found.push(String::from_utf8(line.to_vec()).unwrap());
                Ok(())
            });
            assert!(taken.is_ok());
        }
        found
    }

    const STREAM: &[u8] = b"{\"a\":1}\r\n\n  \n{\"b\":2}\nnever ended";

    #[test]
    fn an_endless_line_is_refused() {
        let mut gathered = Gathered::new();
        let piece = vec![b'x'; 1 << 20];
        let refused = (0..=MCP_MESSAGE_BYTES_MAX >> 20)
            .find_map(|_| gathered.lines(&piece, |_| Ok(())).err());
        assert!(matches!(refused, Some(Fault::TooLong)));
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same_lines(cut in 0..STREAM.len(), other in 0..STREAM.len()) {
            let (first, second) = (cut.min(other), cut.max(other));
            let pieces = [&STREAM[..first], &STREAM[first..second], &STREAM[second..]];
            prop_assert_eq!(lines(pieces), ["{\"a\":1}", "{\"b\":2}"]);
        }
    }
}

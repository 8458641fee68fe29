//! Bytes as a source of choices: what is used up gives zeros, so that every input means something.

/// The rest of an input.
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let (byte, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *byte
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end.max(1)
    }

    /// A large number below `end`.
    pub(crate) fn far_below(&mut self, end: usize) -> usize {
        let number = (0..4).fold(0, |number, _| number << 8 | usize::from(self.byte()));
        number % end.max(1)
    }
}

//! The one type that holds secret bytes.
//!
//! It can be filled, borrowed and dropped, and nothing else: no `Debug`, `Display`, `Clone`, `Serialize`,
//! `AsRef`, `Deref` or comparison, so that a secret cannot slip into a log line, a copy or a message. The
//! compiler proves the list (see [`never_impl!`](crate::never_impl)).

/// Secret bytes: wiped on drop, never resized (a reallocation would leave a copy behind).
pub struct Plaintext(Box<[u8]>);

impl Plaintext {
    /// Allocates `len` zero bytes and lets `write` fill them in place; what was written is wiped if it fails.
    ///
    /// # Errors
    /// Those of `write`.
    pub fn fill<E>(len: usize, write: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<Self, E> {
        let mut plaintext = Self(vec![0; len].into_boxed_slice());
        write(&mut plaintext.0)?;
        Ok(plaintext)
    }

    /// Copies `bytes` into an allocation of exactly their size. The caller wipes its own copy.
    #[must_use]
    pub fn copy_of(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The only way to the bytes. `tests/tidy.rs` lists the modules that may call it, so that a new one
    /// shows in review.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Drop for Plaintext {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

/// Zeroes `bytes` in a way that the compiler may not leave out, at the speed of `memset`; `Zeroize` of a slice goes
/// byte by byte.
pub fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    // The barrier takes their address, so the writes before it count as read.
    zeroize::optimization_barrier(bytes);
}

/// Refuses to compile when a type implements one of the traits named.
///
/// For each trait, two blanket implementations of a helper trait are written down, one for every type and one
/// for every type with the unwanted trait: naming the method is ambiguous, hence an error, exactly when the
/// type has it. The technique is that of the `static_assertions` crate.
#[macro_export]
macro_rules! never_impl {
    ($type:ty: $($unwanted:path),+ $(,)?) => {
        const _: () = {
            $({
                trait Neither<A> { fn item() {} }
                impl<T: ?Sized> Neither<()> for T {}
                #[allow(dead_code, reason = "it only has to be ambiguous")]
                struct Unwanted;
                impl<T: ?Sized + $unwanted> Neither<Unwanted> for T {}
                let _ = <$type as Neither<_>>::item;
            })+
        };
    };
}

never_impl!(
    Plaintext: std::fmt::Debug, std::fmt::Display, Clone, AsRef<[u8]>, std::ops::Deref, PartialEq,
    std::borrow::Borrow<[u8]>, Into<Vec<u8>>,
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_in_place_and_lends_what_was_written() {
        let secret = Plaintext::fill(4, |bytes| {
            bytes.copy_from_slice(b"keys");
            Ok::<(), ()>(())
        })
        .unwrap();
        assert!(secret.expose() == b"keys");
        assert!(secret.len() == 4 && !secret.is_empty());
    }

    #[test]
    fn a_failed_fill_gives_the_error_and_no_bytes() {
        let refused = Plaintext::fill(4, |bytes| {
            bytes.fill(7);
            Err("no")
        });
        assert!(refused.is_err_and(|why| why == "no"));
    }
}

//! Several values in one body: each as its length in four bytes, the highest first, and its bytes.

use std::convert::Infallible;

use strongroom_vault::Plaintext;

const LENGTH_BYTES: usize = 4;

/// The body that holds these.
#[must_use]
pub fn joined(values: &[Plaintext]) -> Plaintext {
    let length = values.iter().map(|value| LENGTH_BYTES + value.len()).sum();
    let filled = Plaintext::fill(length, |mut room| {
        for value in values {
            // No value of the vault is as long as 4 GiB.
            let length = u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes();
            for piece in [&length[..], value.expose()] {
                // Measured above: the pieces fit.
                if let Some((here, rest)) =
                    std::mem::take(&mut room).split_at_mut_checked(piece.len())
                {
                    here.copy_from_slice(piece);
                    room = rest;
                }
            }
        }
        Ok::<(), Infallible>(())
    });
    match filled {
        Ok(body) => body,
        Err(never) => match never {},
    }
}

/// The values in a body; `None` when it is none of these.
#[must_use]
pub fn split(mut body: &[u8]) -> Option<Vec<Plaintext>> {
    let mut values = Vec::new();
    while !body.is_empty() {
        let (length, rest) = body.split_first_chunk::<LENGTH_BYTES>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (value, rest) = rest.split_at_checked(length)?;
        values.push(Plaintext::copy_of(value));
        body = rest;
    }
    Some(values)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_joined_is_split_again(
            values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..6),
            cut in 1_usize..10,
        ) {
            let secrets: Vec<_> = values.iter().map(|value| Plaintext::copy_of(value)).collect();
            let body = joined(&secrets);
            let split_again = split(body.expose()).unwrap();
            prop_assert!(split_again.iter().map(Plaintext::expose).eq(values.iter().map(Vec::as_slice)));
            // Cut off, it is another list, or none; never a panic.
            let rest = body.len().saturating_sub(cut);
            let shorter = split(&body.expose()[..rest]);
            let fewer = shorter.is_none_or(|shorter| shorter.len() < values.len() || values.is_empty());
            prop_assert!(fewer);
        }
    }
}

//! What lies on disk, read back: sealed values, rows, slots, identities.

use strongroom_vault::Plaintext;
use strongroom_vault::fuzzing::{Sealed, keys, rows};

/// Bytes that somebody else wrote are read as everything there is, and nothing opens; bent bytes of ours do not
/// either; what we sealed comes back.
pub fn record(bytes: &[u8]) {
    rows(bytes).expect("sealing works");
    keys(bytes);
    let sealed = Sealed::new().expect("the names are good");
    assert!(
        sealed.open(bytes).is_none(),
        "a value that was never sealed"
    );

    let value = Plaintext::copy_of(bytes);
    let mut file = sealed.seal(&value).expect("sealing works");
    let opened = sealed.open(&file).expect("what was sealed opens");
    assert!(opened.expose() == bytes, "a value comes back as it was");
    // The first bytes choose what is bent.
    let choice = bytes
        .iter()
        .take(4)
        .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    let bit = choice % (file.len() * 8);
    if let Some(byte) = file.get_mut(bit / 8) {
        *byte ^= 1 << (bit % 8);
    }
    assert!(
        sealed.open(&file).is_none(),
        "bit {bit} of {} bytes",
        file.len()
    );
    file.truncate(choice % file.len());
    assert!(sealed.open(&file).is_none(), "cut to {} bytes", file.len());
}

//! Looks for secrets in another process's readable memory.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

use crate::Result;

/// Length of the pieces that are looked for.
pub const PIECE_BYTES: usize = 16;
/// Bytes read at once; neighbours overlap, so that nothing is lost between two.
const STEP_BYTES: usize = 4 * 1024 * 1024;

/// Secrets to look for, in every form that they were sent in.
pub struct Canaries {
    whole: Vec<Vec<u8>>,
    /// Every piece of every form, by its first eight bytes.
    pieces: HashMap<u64, Vec<u64>>,
    /// One bit for each value of a few bits of a hash: most places in memory end here.
    seen: Vec<bool>,
}

/// What was found.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Copies of whole secrets.
    pub whole: usize,
    /// Places where a piece of one begins and the byte before it is not part of one.
    pub pieces: usize,
    /// Bytes that were read.
    pub scanned: usize,
}

impl Canaries {
    /// What to look for.
    #[must_use]
    pub fn new(whole: Vec<Vec<u8>>) -> Self {
        let mut canaries = Self {
            whole,
            pieces: HashMap::new(),
            seen: vec![false; 1 << 22],
        };
        for form in &canaries.whole {
            for piece in form.windows(PIECE_BYTES) {
                let (first, rest) = numbers(piece);
                if let Some(bit) = canaries.seen.get_mut(bucket(first)) {
                    *bit = true;
                }
                canaries.pieces.entry(first).or_default().push(rest);
            }
        }
        canaries
    }

    /// Looks through the memory of a process.
    ///
    /// # Errors
    /// This process may not read it.
    pub fn look_in(&self, process: u32) -> Result<Found> {
        let memory = File::open(format!("/proc/{process}/mem"))?;
        let maps = std::fs::read_to_string(format!("/proc/{process}/maps"))?;
        let mut found = Found::default();
        let mut buffer = vec![0; STEP_BYTES];
        let longest = self.whole.iter().map(Vec::len).max().unwrap_or(0);
        for map in maps.lines().filter_map(readable) {
            let mut at = map.start;
            while at < map.end {
                let most = usize::try_from(map.end - at)?.min(buffer.len());
                let room = buffer.get_mut(..most).unwrap_or_default();
                // Some mappings are of devices, or are gone by now.
                let Ok(count) = memory.read_at(room, at) else {
                    break;
                };
                let read = buffer.get(..count).unwrap_or_default();
                let last = count < most || at + count as u64 >= map.end;
                let overlap = if last { 0 } else { longest };
                self.look(read, overlap, &mut found);
                at += count.saturating_sub(overlap) as u64;
                if count == 0 || last {
                    break;
                }
            }
        }
        if found.scanned == 0 {
            return Err("no memory of the process can be read".into());
        }
        Ok(found)
    }

    /// Looks through `bytes`; what begins in the last `overlap` of them is seen again in the next.
    fn look(&self, bytes: &[u8], overlap: usize, found: &mut Found) {
        let (end, mut within) = (bytes.len() - overlap, false);
        found.scanned += end;
        for (at, piece) in bytes.windows(PIECE_BYTES).take(end).enumerate() {
            let (first, rest) = numbers(piece);
            let here = self.seen.get(bucket(first)) == Some(&true)
                && self
                    .pieces
                    .get(&first)
                    .is_some_and(|all| all.contains(&rest));
            if here {
                found.pieces += usize::from(!within);
                let from_here = bytes.get(at..).unwrap_or_default();
                let whole = self.whole.iter().filter(|form| from_here.starts_with(form));
                found.whole += whole.count();
            }
            within = here;
        }
    }
}

struct Map {
    start: u64,
    end: u64,
}

fn readable(line: &str) -> Option<Map> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let readable = words.next()?.starts_with('r');
    readable.then_some(Map {
        start: u64::from_str_radix(start, 16).ok()?,
        end: u64::from_str_radix(end, 16).ok()?,
    })
}

fn numbers(piece: &[u8]) -> (u64, u64) {
    let number = |half: Option<&[u8]>| {
        let half = half.and_then(|half| half.try_into().ok());
        half.map_or(0, u64::from_le_bytes)
    };
    (number(piece.get(..8)), number(piece.get(8..16)))
}

fn bucket(first: u64) -> usize {
    (first.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 42) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_and_pieces_are_counted_and_nothing_else() {
        let secret = b"0123456789abcdefghijklmnopqrstuvwxyz".to_vec();
        let canaries = Canaries::new(vec![secret.clone()]);
        let check = |bytes: &[u8], whole, pieces| {
            let mut found = Found::default();
            canaries.look(bytes, 0, &mut found);
            assert_eq!((found.whole, found.pieces), (whole, pieces));
        };
        check(&[b"..", secret.as_slice(), b".."].concat(), 1, 1);
        check(&[&secret[5..22], b".", &secret[..15]].concat(), 0, 1);
        check(b"nothing of the sort is in here at all", 0, 0);
    }

    #[test]
    fn this_process_holds_what_it_looks_for() {
        let secret: Vec<u8> = (0..40).map(|n| b'a' + (n * n * 7 % 26) as u8).collect();
        let canaries = Canaries::new(vec![secret]);
        let found = canaries.look_in(std::process::id()).unwrap();
        assert!(found.whole >= 1 && found.pieces >= 1, "{found:?}");
    }
}

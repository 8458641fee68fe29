//! What is remembered of the logs of conversations that rest: the histories of those that ran last, within a bound.
//!
//! A history that is not here is read from the log again. A run takes its own along while it goes on.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::machine::Machine;
use crate::heap;
use crate::limits::HISTORIES_BYTES_MAX;

/// The histories of all conversations that rest.
#[derive(Default)]
pub struct Histories {
    kept: Mutex<Kept>,
    numbers: AtomicU64,
}

#[derive(Default)]
struct Kept {
    machines: HashMap<u64, Resting>,
    bytes: usize,
    /// Counts what is kept: the smallest is the longest unused.
    clock: u64,
}

struct Resting {
    machine: Machine,
    /// The clock when it came.
    number: u64,
    since: Instant,
}

impl Histories {
    /// A number for one that keeps something here. No other has it.
    pub(super) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// What `number` kept, which is then kept no longer.
    pub(super) fn take(&self, number: u64) -> Option<Machine> {
        self.kept().remove(number)
    }

    /// Keeps what `number` knows. The longest unused ones give way; what is larger than all may be together is not
    /// kept.
    pub(super) fn keep(&self, number: u64, machine: Machine) {
        let mut gone = Vec::new();
        let mut kept = self.kept();
        gone.extend(kept.remove(number));
        if machine.bytes() > HISTORIES_BYTES_MAX {
            return;
        }
        kept.clock += 1;
        let now = kept.clock;
        kept.bytes += machine.bytes();
        let resting = Resting {
            machine,
            number: now,
            since: Instant::now(),
        };
        kept.machines.insert(number, resting);
        while kept.bytes > HISTORIES_BYTES_MAX {
            let oldest = kept
                .machines
                .iter()
                .min_by_key(|(_, resting)| resting.number);
            let Some(oldest) = oldest.map(|(number, _)| *number) else {
                break;
            };
            gone.extend(kept.remove(oldest));
        }
        // Dropping a long one takes a while.
        drop(kept);
    }

    /// Lets go of those that have rested for `long`, and of their memory. That takes a while.
    pub(super) fn let_go(&self, long: Duration) {
        let mut kept = self.kept();
        let rested = kept.machines.iter();
        let rested = rested.filter(|(_, resting)| resting.since.elapsed() >= long);
        let numbers: Vec<u64> = rested.map(|(number, _)| *number).collect();
        let gone: Vec<_> = numbers
            .into_iter()
            .map(|number| kept.remove(number))
            .collect();
        drop(kept);
        if !gone.is_empty() {
            drop(gone);
            heap::give_back();
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn remove(&mut self, number: u64) -> Option<Machine> {
        let resting = self.machines.remove(&number)?;
        self.bytes -= resting.machine.bytes();
        Some(resting.machine)
    }
}

#[cfg(test)]
mod tests {
    use super::super::journal::tests::{journal, says, vault};
    use super::super::stuck::Thresholds;
    use super::*;
    use crate::conversation::Source;
    use crate::conversation::event::Role;

    /// Histories of conversations that had run once stayed in memory, all of them.
    #[test]
    fn what_is_remembered_is_bounded_and_the_longest_unused_goes() {
        let vault = vault();
        let journal = journal(&vault);
        let text = "x".repeat(HISTORIES_BYTES_MAX / 64 / 4);
        for _ in 0..64 {
            let said = journal.commit(|draft| draft.push(Source::User, says(Role::User, &text)));
            said.unwrap();
        }
        // A quarter of what may be kept, and a bit.
        let machine = || {
            let mut machine = Machine::new(usize::MAX, Thresholds::default());
            machine.follow(&journal).unwrap();
            machine
        };
        let histories = Histories::default();
        let numbers: Vec<u64> = (0..4).map(|_| histories.number()).collect();
        for number in &numbers[..3] {
            histories.keep(*number, machine());
        }
        let first = histories.take(numbers[0]).unwrap();
        histories.keep(numbers[0], first);
        histories.keep(numbers[3], machine());
        assert!(histories.kept().bytes <= HISTORIES_BYTES_MAX);
        let there: Vec<bool> = numbers
            .iter()
            .map(|number| histories.take(*number).is_some())
            .collect();
        assert_eq!(there, [true, false, true, true]);
        histories.keep(numbers[0], machine());
        histories.let_go(Duration::from_secs(3_600));
        assert_ne!(histories.kept().bytes, 0, "it has just come");
        histories.let_go(Duration::ZERO);
        assert!(histories.take(numbers[0]).is_none());
        assert_eq!(histories.kept().bytes, 0);
    }
}

//! Group commit without a thread of its own: whoever comes first does the work for all who wait.
//!
//! A caller that finds nobody at work becomes the leader at once, so a lone writer pays no hand-over. Callers
//! that arrive meanwhile wait; when the leader is done, the first of them takes everything that has gathered
//! as one batch. Knows nothing of vaults or stores.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};

/// Gathers jobs `J` into batches and gives each its result `R`.
pub(crate) struct GroupCommit<J, R> {
    state: Mutex<State<J, R>>,
}

struct State<J, R> {
    waiting: VecDeque<(J, Arc<Ticket<R>>)>,
    leading: bool,
}

struct Ticket<R> {
    result: Mutex<Option<R>>,
    owner: Thread,
}

impl<R> Ticket<R> {
    fn take(&self) -> Option<R> {
        self.result
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

impl<J, R> Default for GroupCommit<J, R> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                leading: false,
            }),
        }
    }
}

impl<J, R> GroupCommit<J, R> {
    /// Hands `job` in and waits for its result.
    ///
    /// `fits` says whether one more job may join a batch of that many; `run` does a batch and returns one
    /// result per job, in order; `lost` stands in for a result that `run` did not give (it panicked).
    pub(crate) fn submit(
        &self,
        job: J,
        fits: impl Fn(usize, &J) -> bool,
        run: impl Fn(Vec<J>) -> Vec<R>,
        lost: impl Fn() -> R,
    ) -> R {
        let ticket = Arc::new(Ticket {
            result: Mutex::new(None),
            owner: thread::current(),
        });
        self.lock().waiting.push_back((job, Arc::clone(&ticket)));
        loop {
            if let Some(result) = ticket.take() {
                return result;
            }
            let mut state = self.lock();
            if state.leading {
                drop(state);
                // Woken when the result is there or the lead is free; spurious wake-ups only loop.
                thread::park();
                continue;
            }
            state.leading = true;
            let (jobs, tickets) = Self::batch(&mut state, &fits);
            drop(state);
            let mut results = catch_unwind(AssertUnwindSafe(|| run(jobs)))
                .unwrap_or_default()
                .into_iter();
            for other in tickets {
                let result = results.next().unwrap_or_else(&lost);
                *other.result.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
                if !Arc::ptr_eq(&other, &ticket) {
                    other.owner.unpark();
                }
            }
            let mut state = self.lock();
            state.leading = false;
            if let Some((_, next)) = state.waiting.front() {
                next.owner.unpark();
            }
        }
    }

    fn batch(
        state: &mut State<J, R>,
        fits: &impl Fn(usize, &J) -> bool,
    ) -> (Vec<J>, Vec<Arc<Ticket<R>>>) {
        let (mut jobs, mut tickets) = (Vec::new(), Vec::new());
        while let Some((job, ticket)) = state.waiting.pop_front() {
            if !jobs.is_empty() && !fits(jobs.len(), &job) {
                state.waiting.push_front((job, ticket));
                break;
            }
            jobs.push(job);
            tickets.push(ticket);
        }
        (jobs, tickets)
    }

    fn lock(&self) -> MutexGuard<'_, State<J, R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    #[test]
    fn every_caller_gets_its_own_result_and_batches_keep_their_bound() {
        let group = GroupCommit::<u64, u64>::default();
        let largest = AtomicUsize::new(0);
        thread::scope(|scope| {
            for n in 0..32 {
                let (group, largest) = (&group, &largest);
                scope.spawn(move || {
                    for step in 0..50 {
                        let job = n * 1000 + step;
                        let run = |jobs: Vec<u64>| {
                            largest.fetch_max(jobs.len(), Ordering::SeqCst);
                            jobs.into_iter().map(|job| job + 1).collect()
                        };
                        assert_eq!(group.submit(job, |n, _| n < 8, run, || 0), job + 1);
                    }
                });
            }
        });
        assert!(largest.load(Ordering::SeqCst) <= 8);
    }

    #[test]
    fn those_who_wait_go_into_one_batch() {
        let group = GroupCommit::<u8, usize>::default();
        let (started, has_started) = mpsc::channel();
        let (go, may_go) = mpsc::channel();
        let may_go = Mutex::new(may_go);
        thread::scope(|scope| {
            scope.spawn(|| {
                let run = |jobs: Vec<u8>| {
                    started.send(()).unwrap();
                    may_go.lock().unwrap().recv().unwrap();
                    vec![jobs.len(); jobs.len()]
                };
                assert_eq!(group.submit(0, |_, _| true, run, || 0), 1);
            });
            has_started.recv().unwrap();
            let waiting: Vec<_> = (0..5)
                .map(|_| {
                    scope.spawn(|| {
                        group.submit(1, |_, _| true, |jobs| vec![jobs.len(); jobs.len()], || 0)
                    })
                })
                .collect();
            while group.lock().waiting.len() < 5 {
                thread::yield_now();
            }
            go.send(()).unwrap();
            for other in waiting {
                assert_eq!(other.join().unwrap(), 5);
            }
        });
    }

    #[test]
    fn a_panic_loses_no_caller_and_does_not_stop_the_next() {
        let group = GroupCommit::<u8, u8>::default();
        assert_eq!(
            group.submit(1, |_, _| true, |_| panic!("on purpose"), || 99),
            99
        );
        assert_eq!(group.submit(1, |_, _| true, |jobs| jobs, || 99), 1);
    }
}

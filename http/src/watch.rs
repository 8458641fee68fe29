//! What one connection is doing, noted without a clock.
//!
//! hyper's own header timeout takes and gives back a timer for each request, and would count the time between
//! two requests as well. Here the adapter below hyper and the service above it only note where the connection
//! is and that it moves; whoever drives the connection looks at the note and has one timer for all of it (see
//! [`crate::connection`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use crate::limits::{HEADER_SECONDS_MAX, IDLE_SECONDS_MAX, WRITE_SILENCE_SECONDS_MAX};

/// Where a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The headers of a request are arriving, or the connection is new.
    Head,
    /// A request is being handled; body and handler have limits of their own.
    Busy,
    /// The answer is going out.
    Answer,
    /// Nothing is going on.
    Idle,
}

impl Phase {
    /// How long the connection may stay there without moving on; `None` for a request that is being handled.
    #[must_use]
    pub fn longest(self) -> Option<Duration> {
        match self {
            Self::Head => Some(Duration::from_secs(HEADER_SECONDS_MAX)),
            Self::Busy => None,
            Self::Answer => Some(Duration::from_secs(WRITE_SILENCE_SECONDS_MAX)),
            Self::Idle => Some(Duration::from_secs(IDLE_SECONDS_MAX)),
        }
    }

    /// Whether more bytes within the phase win it more time. A head that trickles does not.
    #[must_use]
    pub fn is_prolonged(self) -> bool {
        self != Self::Head
    }
}

/// The note about one connection.
#[derive(Debug)]
pub struct Watch {
    phase: AtomicU8,
    moves: AtomicU32,
    /// Answers of which more is to come.
    coming: AtomicU32,
}

/// Keeps a connection in its answer while it is held, though nothing may be there to be sent at times.
pub struct Coming(Arc<Watch>);

impl Drop for Coming {
    fn drop(&mut self) {
        self.0.coming.fetch_sub(1, Relaxed);
    }
}

/// A look at a [`Watch`]: equal when nothing has happened in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Where the connection is.
    pub phase: Phase,
    moves: u32,
}

impl Default for Watch {
    /// A new connection, which owes its first request.
    fn default() -> Self {
        Self {
            phase: AtomicU8::new(Phase::Head as u8),
            moves: AtomicU32::new(0),
            coming: AtomicU32::new(0),
        }
    }
}

impl Watch {
    /// Where the connection is, and a count that changes with every move.
    #[must_use]
    pub fn look(&self) -> Seen {
        Seen {
            phase: self.phase(),
            moves: self.moves.load(Relaxed),
        }
    }

    /// A request has arrived and is being handled.
    pub fn begin(&self) {
        self.enter(Phase::Busy);
    }

    /// Its answer is ready to go out.
    pub fn answer(&self) {
        self.enter(Phase::Answer);
    }

    /// Bytes came in.
    pub fn received(&self) {
        if self.phase() == Phase::Idle {
            self.enter(Phase::Head);
        }
    }

    /// Bytes went out.
    pub fn sent(&self) {
        match self.phase() {
            Phase::Answer | Phase::Idle => self.enter(Phase::Answer),
            Phase::Head | Phase::Busy => (),
        }
    }

    /// More of the answer is to come than what is there to be sent, until the returned value is dropped.
    pub fn coming(self: &Arc<Self>) -> Coming {
        self.coming.fetch_add(1, Relaxed);
        Coming(self.clone())
    }

    /// Everything that was to be sent has been sent.
    pub fn flushed(&self) {
        if self.phase() == Phase::Answer && self.coming.load(Relaxed) == 0 {
            self.enter(Phase::Idle);
        }
    }

    fn phase(&self) -> Phase {
        match self.phase.load(Relaxed) {
            0 => Phase::Head,
            1 => Phase::Busy,
            2 => Phase::Answer,
            _ => Phase::Idle,
        }
    }

    /// One task moves a connection, so that two steps need not be one.
    fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Relaxed);
        self.moves
            .store(self.moves.load(Relaxed).wrapping_add(1), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_passes_through_the_phases() {
        let watch = Watch::default();
        let check = |expected: Phase| assert_eq!(watch.look().phase, expected);
        watch.received();
        check(Phase::Head);
        watch.begin();
        watch.received();
        watch.sent(); // 100 Continue
        watch.flushed();
        check(Phase::Busy);
        watch.answer();
        watch.sent();
        check(Phase::Answer);
        watch.flushed();
        check(Phase::Idle);
        watch.received();
        check(Phase::Head);
    }

    #[test]
    fn an_answer_is_not_over_while_more_is_coming() {
        let watch = Arc::new(Watch::default());
        watch.begin();
        watch.answer();
        let coming = watch.coming();
        watch.flushed();
        assert_eq!(watch.look().phase, Phase::Answer);
        drop(coming);
        watch.flushed();
        assert_eq!(watch.look().phase, Phase::Idle);
    }

    #[test]
    fn moves_are_seen_although_the_phase_is_the_same() {
        let watch = Watch::default();
        watch.answer();
        let first = watch.look();
        assert_eq!(first, watch.look());
        watch.sent();
        assert_ne!(first, watch.look());
    }
}

//! What conversations that nobody uses give back: first what can be read again, later their place in memory and their
//! shell.

use std::sync::Arc;
use std::time::Duration;

use super::{Conversation, Seat, Shared, Table};
use crate::conversation::run::blocking;
use crate::conversation::{Id, Runner};
use crate::limits::{
    CONVERSATION_IDLE_SECONDS, CONVERSATION_SWEEP_SECONDS, CONVERSATIONS_LOADED_MAX,
    HISTORY_IDLE_SECONDS,
};

impl Shared {
    /// Looks for them every now and then, as long as there is anybody who could use one.
    pub(super) fn watch_idle(self: &Arc<Self>) {
        let shared = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(CONVERSATION_SWEEP_SECONDS)).await;
                let Some(shared) = shared.upgrade() else {
                    return;
                };
                // A shell takes a moment to end.
                if blocking(move || shared.sweep()).await.is_err() {
                    return;
                }
            }
        });
    }

    fn sweep(&self) {
        let (resting, gone) = {
            let mut table = self.table();
            let gone = table.make_room();
            (table.resting(HISTORY_IDLE_SECONDS), gone)
        };
        resting.iter().for_each(Runner::forget);
        drop(gone);
    }
}

impl Table {
    /// Those that nobody asked anything for so long.
    fn resting(&self, seconds: u64) -> Vec<Runner> {
        let limit = Duration::from_secs(seconds);
        let seats = self.loaded.values();
        let resting = seats.filter(|seat| seat.used.elapsed() >= limit);
        resting
            .map(|seat| seat.conversation.runner().clone())
            .collect()
    }

    /// Takes out conversations that nobody uses: those idle for long, and the longest idle one when it is full. They
    /// are to be dropped without the lock, since their shells end with them.
    pub(super) fn make_room(&mut self) -> Vec<Conversation> {
        let limit = Duration::from_secs(CONVERSATION_IDLE_SECONDS);
        let idle = |seat: &Seat| seat.conversation.is_idle();
        let mut going: Vec<Id> = Vec::new();
        for (id, seat) in &self.loaded {
            if seat.used.elapsed() > limit && idle(seat) {
                going.push(*id);
            }
        }
        if going.is_empty() && self.loaded.len() >= CONVERSATIONS_LOADED_MAX {
            let oldest = self.loaded.iter().filter(|(_, seat)| idle(seat));
            going.extend(oldest.min_by_key(|(_, seat)| seat.used).map(|(id, _)| *id));
        }
        let mut gone = Vec::with_capacity(going.len());
        for id in going {
            if let Some(Seat { conversation, .. }) = self.loaded.remove(&id) {
                let row = super::Row::of(&conversation.0.journal.state());
                self.rows.insert(id, row);
                gone.push(conversation);
            }
        }
        gone
    }
}

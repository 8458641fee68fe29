//! One run, as those see it who wish something of it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::tool::Cancel;

/// One run.
pub struct Run {
    /// Ends the tool that runs.
    pub cancel: Cancel,
    interrupt: watch::Sender<bool>,
    pub(in super::super) pause: AtomicBool,
    pub(in super::super) stop: AtomicBool,
    /// A message wants the run to go round again.
    pub(in super::super) again: AtomicBool,
    pub(super) done: watch::Sender<bool>,
}

impl Run {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            cancel: Cancel::default(),
            interrupt: watch::Sender::new(false),
            pause: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            again: AtomicBool::new(false),
            done: watch::Sender::new(false),
        })
    }

    /// Waits for an interruption.
    pub async fn interrupted(&self) {
        // The sender lives as long as this does.
        let _ = self.interrupt.subscribe().wait_for(|wanted| *wanted).await;
    }

    /// Whether it was interrupted.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        *self.interrupt.borrow()
    }

    pub(super) fn interrupt(&self) {
        self.interrupt.send_replace(true);
        self.cancel.cancel();
    }

    pub(super) async fn ended(&self, most: Duration) {
        let mut done = self.done.subscribe();
        let _ = timeout(most, done.wait_for(|done| *done)).await;
    }
}

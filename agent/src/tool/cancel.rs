//! A call's end before its time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

type Wake = Arc<dyn Fn() + Send + Sync>;

/// Asks whoever runs to stop. Clones mean the same call; once cancelled, it stays so.
#[derive(Clone, Default)]
pub struct Cancel(Arc<Inner>);

#[derive(Default)]
struct Inner {
    wanted: AtomicBool,
    wake: Mutex<Option<Wake>>,
}

impl Cancel {
    /// Asks the call to stop. Returns at once.
    pub fn cancel(&self) {
        self.0.wanted.store(true, Ordering::SeqCst);
        let wake = self
            .0
            .wake
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(wake) = wake {
            wake();
        }
    }

    /// Whether it was asked to.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.wanted.load(Ordering::SeqCst)
    }

    /// Runs `body`, during which a cancellation calls `wake`. One that came earlier does not.
    pub(crate) fn waking<T>(&self, wake: Wake, body: impl FnOnce() -> T) -> T {
        self.set(Some(wake));
        let result = body();
        self.set(None);
        result
    }

    fn set(&self, wake: Option<Wake>) {
        *self.0.wake.lock().unwrap_or_else(PoisonError::into_inner) = wake;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wakes_whoever_waits_and_nobody_afterwards() {
        let (told, heard) = std::sync::mpsc::channel();
        let cancel = Cancel::default();
        let other = cancel.clone();
        cancel.waking(Arc::new(move || told.send(()).unwrap()), || other.cancel());
        assert!(heard.try_recv().is_ok());
        assert!(cancel.is_cancelled());
        cancel.cancel();
        assert!(heard.try_recv().is_err());
    }
}

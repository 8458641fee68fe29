//! How subscribers learn that a run is over.

use std::sync::Arc;
use std::time::Duration;

use super::Inside;
use crate::conversation::{Body, Source};
use crate::limits::END_TOLD_AGAIN_MS;

impl Inside {
    /// Tells the subscribers all of the state: what clients wait for at the end of a run.
    pub(in super::super) fn show_all(&self) {
        let state = self.parts.journal.state();
        let body = Body::state("full_state", &(self.parts.full_state)(&state));
        // Without it a client falls back to asking.
        let _ = self.parts.journal.publish_frame(Source::Environment, body);
    }

    /// Tells the end of a short run again, a few times. Clients listen for it only once the request that began the run is
    /// answered, and would wait half a minute for one that was told before.
    pub(super) fn show_again(self: &Arc<Self>) {
        let inside = Arc::downgrade(self);
        tokio::spawn(async move {
            for wait in END_TOLD_AGAIN_MS {
                tokio::time::sleep(Duration::from_millis(wait)).await;
                let Some(inside) = inside.upgrade() else {
                    return;
                };
                if inside.current().is_some() || inside.parts.journal.hub().subscribers() == 0 {
                    return;
                }
                inside.show_all();
            }
        });
    }
}

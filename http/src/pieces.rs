//! A body that is read as it is sent: one piece at a time, off the threads that serve, and only when there is room
//! for it on the way.

use std::fmt;
use std::fs::File;
use std::future::Future;
use std::io::Read as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::call::State;
use crate::error::Error;
use crate::limits::DOWNLOAD_PIECE_BYTES;
use crate::watch::Coming;

/// Part of a file on its way to a client.
pub struct Pieces {
    state: Arc<State>,
    file: Option<File>,
    reading: Option<Pin<Box<Reading>>>,
    left: u64,
    coming: Option<Coming>,
}

type Reading = dyn Future<Output = Result<(File, Vec<u8>), Error>> + Send;

/// A body that can't be sent to its announced end. The connection ends.
#[derive(Debug)]
pub struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the file became shorter, or could not be read any more")
    }
}

impl std::error::Error for Cut {}

impl Pieces {
    /// The next `left` bytes of `file`.
    #[must_use]
    pub fn new(state: &Arc<State>, file: File, left: u64) -> Self {
        Self {
            state: state.clone(),
            file: Some(file),
            reading: None,
            left,
            coming: None,
        }
    }

    /// Bytes that are still to be sent.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Keeps this until all is sent.
    pub fn hold(&mut self, coming: Coming) {
        self.coming = Some(coming);
    }

    /// The next piece; `None` at the end.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Vec<u8>, Cut>>> {
        if self.left == 0 {
            self.coming = None;
            return Poll::Ready(None);
        }
        let mut reading = match (self.reading.take(), self.file.take()) {
            (Some(reading), _) => reading,
            (None, Some(file)) => self.read(file),
            (None, None) => return Poll::Ready(Some(Err(Cut))),
        };
        let Poll::Ready(read) = reading.as_mut().poll(cx) else {
            self.reading = Some(reading);
            return Poll::Pending;
        };
        let Ok((file, piece)) = read else {
            return Poll::Ready(Some(Err(Cut)));
        };
        self.file = Some(file);
        self.left = self.left.saturating_sub(piece.len() as u64);
        if self.left == 0 {
            self.coming = None;
        }
        Poll::Ready(Some(Ok(piece)))
    }

    fn read(&self, mut file: File) -> Pin<Box<Reading>> {
        let state = self.state.clone();
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(DOWNLOAD_PIECE_BYTES);
        Box::pin(async move {
            let read = state.pool.write(move || {
                let mut piece = vec![0; most];
                file.read_exact(&mut piece)
                    .map_err(strongroom_agent::workspace::confine::Refused::from)?;
                Ok::<_, Error>((file, piece))
            });
            read.await
        })
    }
}

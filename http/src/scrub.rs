//! The adapter between hyper and a socket: leaves nothing readable in hyper's read buffer.
//!
//! hyper reads into one buffer per connection and takes it back to its start when a message is consumed; what
//! was there stays readable until it is written over. So before it asks the socket for more, this adapter
//! zeroes that part of the buffer's spare room that was in use before. An idle connection, which is one that
//! waits in such a read, holds zeros only. The module is unsafe because hyper hands out spare room
//! uninitialised.
#![allow(
    unsafe_code,
    reason = "hyper's read buffer is uninitialised memory; zeros and whole reads are written to it"
)]

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use zeroize::Zeroize;

use crate::limits::{HEADER_BYTES_MAX, READ_BYTES_MAX};
use crate::watch::Watch;

/// A socket as hyper sees it.
pub struct ScrubIo<I> {
    inner: I,
    watch: Arc<Watch>,
    used: Used,
    ended: bool,
}

/// How far hyper's buffer has been in use, as an address: it is compared, never followed.
///
/// All that hyper keeps lies below the spare room, so it is enough to remember where reads ended. hyper may
/// lend a shorter room of the same buffer, or take another buffer; the latter can cost a needless zeroing,
/// never a missing one, for memory that was given back is the allocator's matter.
#[derive(Default)]
struct Used {
    start: usize,
    high: usize,
}

impl Used {
    /// Zeroes what is left of earlier messages in `spare`.
    fn scrub(&mut self, spare: &mut [MaybeUninit<u8>]) {
        let range = spare.as_ptr_range();
        let (start, end) = (range.start as usize, range.end as usize);
        let stale = self.high.saturating_sub(start).min(spare.len());
        let (stale, _) = spare.split_at_mut(stale);
        stale.zeroize();
        let beyond = self.high.saturating_sub(end);
        if beyond == 0 || beyond > HEADER_BYTES_MAX {
            self.high = start;
        }
        self.start = start;
    }

    /// `count` bytes were read to the start of the room that was scrubbed last.
    fn read(&mut self, count: usize) {
        self.high = self.high.max(self.start + count);
    }
}

impl<I> ScrubIo<I> {
    /// Serves `inner`, noting its progress in `watch`.
    pub fn new(inner: I, watch: Arc<Watch>) -> Self {
        Self {
            inner,
            watch,
            used: Used::default(),
            ended: false,
        }
    }

    /// The socket, if the peer may still be sending.
    pub fn unended(self) -> Option<I> {
        (!self.ended).then_some(self.inner)
    }
}

impl<I: AsyncRead + Unpin> Read for ScrubIo<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut room: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        // SAFETY: the slice is only written to (zeros here, bytes that were read through `ReadBuf`, which
        // never makes an initialised byte uninitialised).
        let spare = unsafe { room.as_mut() };
        this.used.scrub(spare);
        let longest = spare.len().min(READ_BYTES_MAX);
        let (spare, _) = spare.split_at_mut(longest);
        let mut buffer = ReadBuf::uninit(spare);
        ready!(Pin::new(&mut this.inner).poll_read(cx, &mut buffer))?;
        let count = buffer.filled().len();
        if count == 0 {
            this.ended = true;
        } else {
            this.used.read(count);
            this.watch.received();
        }
        // SAFETY: `ReadBuf` counts `count` bytes of the room's start as initialised and filled.
        unsafe { room.advance(count) };
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> Write for ScrubIo<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let sent = ready!(Pin::new(&mut self.inner).poll_write(cx, bytes))?;
        self.watch.sent();
        Poll::Ready(Ok(sent))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = ready!(Pin::new(&mut self.inner).poll_write_vectored(cx, pieces))?;
        self.watch.sent();
        Poll::Ready(Ok(sent))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
        self.watch.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    const CLEAN: MaybeUninit<u8> = MaybeUninit::new(b'-');

    /// Reads `count` bytes into the room from `start` to `end`, as a buffer's owner would let it.
    fn read(
        used: &mut Used,
        buffer: &mut [MaybeUninit<u8>; 32],
        room: std::ops::Range<usize>,
        count: usize,
    ) {
        let spare = &mut buffer[room];
        used.scrub(spare);
        for byte in &mut spare[..count] {
            byte.write(b's');
        }
        used.read(count);
    }

    fn text(buffer: &[MaybeUninit<u8>; 32]) -> String {
        // SAFETY: the tests start from initialised bytes.
        let bytes = buffer.map(|byte| unsafe { byte.assume_init() });
        bytes
            .iter()
            .map(|&byte| if byte == 0 { '0' } else { char::from(byte) })
            .collect()
    }

    #[test]
    fn what_was_read_before_is_gone_before_the_next_read() {
        let (mut buffer, mut used) = ([CLEAN; 32], Used::default());
        read(&mut used, &mut buffer, 0..32, 8);
        assert_eq!(text(&buffer), "ssssssss------------------------");
        // Three bytes are kept; then four more come; then all is consumed.
        read(&mut used, &mut buffer, 3..32, 0);
        assert_eq!(text(&buffer), "sss00000------------------------");
        read(&mut used, &mut buffer, 3..32, 4);
        read(&mut used, &mut buffer, 0..32, 0);
        assert_eq!(text(&buffer), "00000000------------------------");
    }

    #[test]
    fn a_shorter_room_does_not_hide_what_lies_beyond() {
        let (mut buffer, mut used) = ([CLEAN; 32], Used::default());
        read(&mut used, &mut buffer, 0..32, 20);
        read(&mut used, &mut buffer, 4..10, 2);
        read(&mut used, &mut buffer, 0..32, 0);
        assert_eq!(text(&buffer), "00000000000000000000------------");
    }

    #[tokio::test]
    async fn hyper_gets_the_bytes_and_the_watch_learns_of_them() {
        let watch = Arc::new(Watch::default());
        watch.answer();
        watch.flushed();
        let idle = watch.look();
        let mut io = ScrubIo::new(&b"0123"[..], watch.clone());
        let mut bytes = [0_u8; 8];
        let mut buffer = hyper::rt::ReadBuf::new(&mut bytes);
        for _ in 0..2 {
            poll_fn(|cx| Pin::new(&mut io).poll_read(cx, buffer.unfilled()))
                .await
                .unwrap();
        }
        assert_eq!(buffer.filled(), b"0123");
        assert_ne!(watch.look(), idle);
        assert!(io.unended().is_none());
    }
}

//! The headers that hold credentials, and how they reach the wire.
//!
//! hyper keeps the head of a request in a buffer that nobody wipes, so it never gets these headers: they are
//! slipped into the stream of bytes under it, right after the request's first line, from a buffer of ours that
//! is wiped as soon as they are sent. Sound because a connection carries one request.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use strongroom_vault::{Plaintext, never_impl};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use zeroize::Zeroizing;

/// Whole header lines, wiped on drop.
pub(crate) struct SecretHeaders(Zeroizing<Vec<u8>>);

never_impl!(SecretHeaders: std::fmt::Debug, std::fmt::Display, Clone);

impl SecretHeaders {
    /// The lines of these headers: name, what stands before the value, value. Values have no line breaks
    /// (the settings refuse them).
    pub(crate) fn of<'a>(
        headers: impl Iterator<Item = (&'a str, &'a str, &'a Plaintext)> + Clone,
    ) -> Self {
        let bytes = headers
            .clone()
            .map(|(name, before, value)| name.len() + before.len() + value.len() + 4)
            .sum();
        let mut lines = Zeroizing::new(Vec::with_capacity(bytes));
        for (name, before, value) in headers {
            for piece in [
                name.as_bytes(),
                b": ",
                before.as_bytes(),
                value.expose(),
                b"\r\n",
            ] {
                lines.extend_from_slice(piece);
            }
        }
        debug_assert!(lines.len() <= bytes, "grown, hence copied and not wiped");
        Self(lines)
    }
}

/// A stream into which the headers are slipped.
pub(crate) struct Slipping<S> {
    stream: S,
    at: Place,
}

enum Place {
    /// Inside of the request's first line.
    Line(SecretHeaders),
    /// Inside of the headers, so many bytes in.
    Headers(SecretHeaders, usize),
    /// Behind them.
    Behind,
}

impl<S> Slipping<S> {
    pub(crate) fn new(stream: S, headers: SecretHeaders) -> Self {
        Self {
            stream,
            at: Place::Line(headers),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Slipping<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self { stream, at } = self.get_mut();
        let mut stream = Pin::new(stream);
        loop {
            *at = match std::mem::replace(at, Place::Behind) {
                Place::Behind => return stream.poll_write(cx, bytes),
                Place::Line(headers) => {
                    let end = bytes.iter().position(|byte| *byte == b'\n');
                    let (piece, _) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
                    let written = stream.poll_write(cx, piece);
                    *at = match &written {
                        Poll::Ready(Ok(count)) if end.is_some() && *count == piece.len() => {
                            Place::Headers(headers, 0)
                        }
                        _ => Place::Line(headers),
                    };
                    return written;
                }
                Place::Headers(headers, sent) => match headers.0.get(sent..) {
                    None | Some([]) => Place::Behind,
                    Some(rest) => match stream.as_mut().poll_write(cx, rest) {
                        Poll::Ready(Ok(0)) => {
                            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                        }
                        Poll::Ready(Ok(count)) => Place::Headers(headers, sent + count),
                        other => {
                            *at = Place::Headers(headers, sent);
                            return other;
                        }
                    },
                },
            };
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match this.at {
            Place::Behind => Pin::new(&mut this.stream).poll_write_vectored(cx, pieces),
            _ => {
                let piece = pieces.iter().find(|piece| !piece.is_empty());
                Pin::new(this).poll_write(cx, piece.map_or(&[], |piece| piece))
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Slipping<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = ready!(Pin::new(&mut self.get_mut().stream).poll_read(cx, space));
        Poll::Ready(result)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Takes the given numbers of bytes at each write, then all.
    struct Sink {
        takes: Vec<usize>,
        got: Vec<u8>,
    }

    impl AsyncWrite for Sink {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let count = match self.takes.pop() {
                Some(0) => return Poll::Pending,
                Some(count) => count.min(bytes.len()),
                None => bytes.len(),
            };
            self.got.extend_from_slice(&bytes[..count]);
            Poll::Ready(Ok(count))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    const HEAD: &[u8] = b"POST /x HTTP/1.1\r\nhost: h\r\n\r\nbody\nmore";
    const EXPECTED: &[u8] =
        b"POST /x HTTP/1.1\r\nauthorization: Bearer sk-1\r\nx-mine: 2\r\nhost: h\r\n\r\nbody\nmore";

    fn slipped(takes: Vec<usize>, vectored: bool) -> Vec<u8> {
        let (key, mine) = (Plaintext::copy_of(b"sk-1"), Plaintext::copy_of(b"2"));
        let headers = SecretHeaders::of(
            [("authorization", "Bearer ", &key), ("x-mine", "", &mine)].into_iter(),
        );
        let mut stream = Slipping::new(
            Sink {
                takes,
                got: Vec::new(),
            },
            headers,
        );
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut rest = HEAD;
        while !rest.is_empty() {
            let stream = Pin::new(&mut stream);
            let (first, second) = rest.split_at(rest.len() / 2);
            let written = match vectored {
                true => stream
                    .poll_write_vectored(&mut cx, &[IoSlice::new(first), IoSlice::new(second)]),
                false => stream.poll_write(&mut cx, rest),
            };
            if let Poll::Ready(count) = written {
                rest = &rest[count.unwrap()..];
            }
        }
        stream.stream.got
    }

    #[test]
    fn headers_stand_behind_the_first_line() {
        assert_eq!(slipped(Vec::new(), false), EXPECTED);
        assert_eq!(slipped(Vec::new(), true), EXPECTED);
    }

    proptest! {
        #[test]
        fn partial_writes_change_nothing(takes in proptest::collection::vec(0usize..9, 0..60), vectored: bool) {
            prop_assert_eq!(slipped(takes, vectored), EXPECTED);
        }
    }
}

//! A stream of bytes as a websocket.

use std::time::Duration;

use bytes::Buf;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::frame::{Fault, Incoming, Kind, Reader, head};
use crate::limits::{CLOSE_SECONDS_MAX, LINGER_BYTES_MAX, WRITE_SILENCE_SECONDS_MAX};

/// One websocket. Cheap while idle: one read's worth of buffer.
pub struct Socket<S> {
    stream: S,
    reader: Reader,
    /// What hyper had read beyond the handshake.
    early: bytes::Bytes,
}

/// Why a socket gives nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The peer is gone, or takes nothing any more.
    Gone,
    /// It has to be closed with this fault's number.
    Fault(Fault),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// A socket over `stream`, of which `early` was read already.
    pub fn new(stream: S, early: bytes::Bytes) -> Self {
        Self {
            stream,
            reader: Reader::default(),
            early,
        }
    }

    /// The next message or control frame. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// [`End`].
    pub async fn receive(&mut self) -> Result<Incoming, End> {
        loop {
            if let Some(incoming) = self.reader.incoming().map_err(End::Fault)? {
                return Ok(incoming);
            }
            let room = self.reader.room();
            let count = if self.early.has_remaining() {
                let count = room.len().min(self.early.remaining());
                if let Some(room) = room.get_mut(..count) {
                    self.early.copy_to_slice(room);
                }
                count
            } else {
                self.early = bytes::Bytes::new();
                self.stream.read(room).await.map_err(|_| End::Gone)?
            };
            if count == 0 {
                return Err(End::Gone);
            }
            self.reader.filled(count);
        }
    }

    /// Sends one frame; waits for the peer to take it, for [`WRITE_SILENCE_SECONDS_MAX`] at most.
    ///
    /// # Errors
    /// [`End::Gone`]; part of the frame may be out, so that nothing can follow it.
    pub async fn send(&mut self, kind: Kind, payload: &[u8]) -> Result<(), End> {
        let mut room = [0; 10];
        let len = head(kind, payload.len(), &mut room);
        let mut bytes = Buf::chain(room.get(..len).unwrap_or_default(), payload);
        let longest = Duration::from_secs(WRITE_SILENCE_SECONDS_MAX);
        while bytes.has_remaining() {
            match timeout(longest, self.stream.write_buf(&mut bytes)).await {
                Ok(Ok(count)) if count > 0 => (),
                _ => return Err(End::Gone),
            }
        }
        Ok(())
    }

    /// Ends it with a number and a reason of at most 123 bytes. Reads on until the peer has said the same, for
    /// [`CLOSE_SECONDS_MAX`] at most: a reset would take the reason from it.
    pub async fn close(mut self, code: u16, reason: &str) {
        let mut payload = code.to_be_bytes().to_vec();
        payload.extend_from_slice(reason.as_bytes());
        if self.send(Kind::Close, &payload).await.is_err() {
            return;
        }
        let _ = timeout(Duration::from_secs(CLOSE_SECONDS_MAX), self.drain()).await;
    }

    async fn drain(&mut self) {
        if self.stream.shutdown().await.is_err() {
            return;
        }
        let (mut left, mut readable) = (LINGER_BYTES_MAX, true);
        loop {
            while readable {
                match self.reader.incoming() {
                    Ok(Some(Incoming::Close)) => return,
                    Ok(Some(_)) => (),
                    Ok(None) => break,
                    Err(_) => readable = false,
                }
            }
            if !readable {
                // Broken: what still comes is of no interest, but has to be taken.
                self.reader = Reader::default();
            }
            match self.stream.read(self.reader.room()).await {
                Ok(count @ 1..) if count <= left => {
                    self.reader.filled(count);
                    left -= count;
                }
                _ => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::{NORMAL, PROTOCOL};
    use super::*;
    use tokio::io::duplex;

    #[tokio::test]
    async fn what_came_with_the_handshake_is_read_first() {
        let (mut client, server) = duplex(64);
        let early = bytes::Bytes::from_static(&[0x81, 0x81, 0, 0, 0, 0, b'a', 0x89]);
        let mut socket = Socket::new(server, early);
        assert!(matches!(socket.receive().await, Ok(Incoming::Text(text)) if *text == b"a"));
        client.write_all(&[0x80, 0, 0, 0, 0]).await.unwrap();
        assert!(matches!(socket.receive().await, Ok(Incoming::Ping(bytes)) if bytes.is_empty()));
        client.write_all(&[0x81, 0x00]).await.unwrap();
        assert_eq!(
            socket.receive().await.err(),
            Some(End::Fault(Fault(PROTOCOL)))
        );
        drop(client);
        let mut socket = Socket::new(socket.stream, bytes::Bytes::new());
        assert_eq!(socket.receive().await.err(), Some(End::Gone));
    }

    #[tokio::test]
    async fn a_close_waits_for_the_peers() {
        let (mut client, server) = duplex(64);
        let closing = tokio::spawn(Socket::new(server, bytes::Bytes::new()).close(NORMAL, "bye"));
        let mut frame = [0; 7];
        client.read_exact(&mut frame).await.unwrap();
        assert_eq!(frame, [0x88, 5, 0x03, 0xe8, b'b', b'y', b'e']);
        assert!(!closing.is_finished());
        client.write_all(&[0x88, 0x80, 0, 0, 0, 0]).await.unwrap();
        closing.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_given_up() {
        let (_client, server) = duplex(8);
        let mut socket = Socket::new(server, bytes::Bytes::new());
        let sent = socket.send(Kind::Text, &[b'a'; 100]).await;
        assert_eq!(sent, Err(End::Gone));
    }
}

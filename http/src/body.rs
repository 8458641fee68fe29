//! Request bodies: read with every bound there is, into memory that is wiped.
//!
//! Nothing is read, and no `100 Continue` is sent, before [`Bodies::read`] is called, which the service does
//! after it has checked the key: hyper sends it when a body is first polled.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Body;
use hyper::header::{self, HeaderMap};
use strongroom_agent::json::Json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::limits::{
    BODIES_KIB_MAX, BODIES_WAIT_SECONDS_MAX, BODY_FIRST_BYTES, BODY_SECONDS_MAX,
    BODY_SILENCE_SECONDS_MAX,
};

/// Room for the bodies of all requests together.
pub struct Bodies(Arc<Semaphore>);

/// A body in memory that is wiped when it is dropped. Has no `Debug` on purpose.
#[derive(Default)]
pub struct Received {
    bytes: Zeroizing<Vec<u8>>,
    /// Given back with the bytes.
    room: Option<OwnedSemaphorePermit>,
}

impl Default for Bodies {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(BODIES_KIB_MAX)))
    }
}

impl Bodies {
    /// Reads a body of at most `limit` bytes.
    ///
    /// # Errors
    /// [`Error::BodyTooLong`], before anything is read if the length is announced; [`Error::BodySilent`],
    /// [`Error::BodyBroken`]; [`Error::Busy`] if other bodies leave no room for too long.
    pub async fn read<B: Body + Unpin>(
        &self,
        mut body: B,
        limit: usize,
    ) -> Result<Received, Error> {
        if body.is_end_stream() {
            return Ok(Received::default());
        }
        let announced = body.size_hint().exact();
        let most = announced.map_or(limit, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        if most > limit {
            return Err(Error::BodyTooLong { limit });
        }
        let room = Some(self.room(most).await?);
        let first = if announced.is_some() {
            most
        } else {
            most.min(BODY_FIRST_BYTES)
        };
        let mut bytes = Zeroizing::new(Vec::with_capacity(first));
        let last = Instant::now() + Duration::from_secs(BODY_SECONDS_MAX);
        let silence = Duration::from_secs(BODY_SILENCE_SECONDS_MAX);
        loop {
            let next = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx));
            let deadline = last.min(Instant::now() + silence);
            let frame = match timeout_at(deadline, next).await {
                Err(_) => return Err(Error::BodySilent),
                Ok(None) => return Ok(Received { bytes, room }),
                Ok(Some(Err(_))) => return Err(Error::BodyBroken),
                Ok(Some(Ok(frame))) => frame,
            };
            if let Ok(mut data) = frame.into_data() {
                append(&mut bytes, &mut data, limit)?;
            }
        }
    }

    async fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Error> {
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        let room = self.0.clone().acquire_many_owned(kib);
        match timeout(Duration::from_secs(BODIES_WAIT_SECONDS_MAX), room).await {
            Ok(Ok(room)) => Ok(room),
            _ => Err(Error::Busy),
        }
    }
}

/// A body that a handler reads itself, as it arrives: of any length, never in memory as a whole. It may pause, but not
/// for longer than any other.
pub struct Arriving(hyper::body::Incoming);

impl Arriving {
    pub(crate) fn new(body: hyper::body::Incoming) -> Self {
        Self(body)
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// [`Error::BodySilent`], [`Error::BodyBroken`].
    pub async fn next(&mut self) -> Result<Option<bytes::Bytes>, Error> {
        let silence = Duration::from_secs(BODY_SILENCE_SECONDS_MAX);
        loop {
            let next = std::future::poll_fn(|cx| Pin::new(&mut self.0).poll_frame(cx));
            match timeout(silence, next).await {
                Err(_) => return Err(Error::BodySilent),
                Ok(None) => return Ok(None),
                Ok(Some(Err(_))) => return Err(Error::BodyBroken),
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}

/// Adds `data` to `bytes`. A larger buffer is a new one, and the old one is wiped.
pub(crate) fn append(
    bytes: &mut Zeroizing<Vec<u8>>,
    data: &mut impl bytes::Buf,
    limit: usize,
) -> Result<(), Error> {
    let wanted = bytes.len() + data.remaining();
    if wanted > limit {
        return Err(Error::BodyTooLong { limit });
    }
    if wanted > bytes.capacity() {
        let larger = wanted.max(bytes.capacity() * 2).min(limit);
        let mut moved = Zeroizing::new(Vec::with_capacity(larger));
        moved.extend_from_slice(bytes);
        *bytes = moved;
    }
    while data.has_remaining() {
        let chunk = data.chunk();
        bytes.extend_from_slice(chunk);
        data.advance(chunk.len());
    }
    Ok(())
}

impl Received {
    /// The bytes as they came.
    #[must_use]
    pub fn into_bytes(self) -> Zeroizing<Vec<u8>> {
        self.bytes
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is no body.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The body as JSON; the bytes are wiped. The room is to be kept as long as the JSON.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn json(self) -> Result<(Json, Room), Error> {
        let json = Json::parse(&self.bytes).map_err(Error::Malformed)?;
        Ok((json, Room(self.room)))
    }
}

/// What a body takes of the room for all of them; kept until nothing of it is in memory any more.
pub struct Room(#[expect(dead_code, reason = "held for its drop")] Option<OwnedSemaphorePermit>);

/// Whether the content type is `application/json` or `application/SOMETHING+json`, with any parameters.
#[must_use]
pub fn says_json(headers: &HeaderMap) -> bool {
    let Some(Ok(kind)) = headers.get(header::CONTENT_TYPE).map(|kind| kind.to_str()) else {
        return false;
    };
    let essence = kind.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
        || essence.split_once('/').is_some_and(|(main, sub)| {
            let end = sub.len().checked_sub(5).and_then(|start| sub.get(start..));
            main.eq_ignore_ascii_case("application")
                && end.is_some_and(|end| end.eq_ignore_ascii_case("+json"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::body::{Frame, SizeHint};
    use hyper::header::HeaderValue;
    use proptest::prelude::*;
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::task::{Context, Poll};

    /// Pieces, with or without an announced length; silent at the end if `open`.
    struct Pieces {
        pieces: VecDeque<Vec<u8>>,
        announced: Option<u64>,
        open: bool,
    }

    impl Body for Pieces {
        type Data = VecDeque<u8>;
        type Error = Infallible;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Self::Data>, Infallible>>> {
            match self.pieces.pop_front() {
                Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece.into())))),
                None if self.open => Poll::Pending,
                None => Poll::Ready(None),
            }
        }
        fn size_hint(&self) -> SizeHint {
            self.announced
                .map_or_else(SizeHint::new, SizeHint::with_exact)
        }
    }

    fn read(pieces: &[&[u8]], announced: Option<u64>, limit: usize) -> Result<Vec<u8>, Error> {
        let body = Pieces {
            pieces: pieces.iter().map(|piece| piece.to_vec()).collect(),
            announced,
            open: false,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let received = runtime.block_on(Bodies::default().read(body, limit))?;
        Ok(received.bytes.to_vec())
    }

    #[test]
    fn an_announced_length_above_the_limit_is_refused_unread() {
        let refused = read(&[], Some(11), 10);
        assert!(matches!(refused, Err(Error::BodyTooLong { limit: 10 })));
        assert!(read(&[b"0123456789"], Some(10), 10).is_ok());
    }

    #[test]
    fn a_body_without_a_length_is_cut_off_at_the_limit() {
        assert!(read(&[b"01234", b"56789"], None, 10).is_ok());
        let refused = read(&[b"01234", b"567890"], None, 10);
        assert!(matches!(refused, Err(Error::BodyTooLong { limit: 10 })));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_body_is_given_up() {
        let body = Pieces {
            pieces: [b"x".to_vec()].into(),
            announced: Some(2),
            open: true,
        };
        let started = Instant::now();
        let refused = Bodies::default().read(body, 10).await;
        assert!(matches!(refused, Err(Error::BodySilent)));
        assert_eq!(started.elapsed().as_secs(), BODY_SILENCE_SECONDS_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn room_comes_back_when_the_body_is_dropped() {
        let bodies = Bodies::default();
        let body = |bytes: usize| Pieces {
            pieces: [vec![b'x'; bytes]].into(),
            announced: Some(bytes as u64),
            open: false,
        };
        let all = BODIES_KIB_MAX * 1024;
        let held = bodies.read(body(all), all).await.ok().unwrap();
        assert!(matches!(bodies.read(body(1), all).await, Err(Error::Busy)));
        drop(held);
        assert!(bodies.read(body(1), all).await.is_ok());
    }

    #[test]
    fn json_is_told_by_its_content_type() {
        let check = |kind: &'static str, expected: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
            assert_eq!(says_json(&headers), expected, "{kind}");
        };
        check("application/json", true);
        check("Application/JSON; charset=utf-8", true);
        check("application/merge-patch+json", true);
        check("application/jsonp", false);
        check("text/json", false);
        check("text/plain+json", false);
        check("+json", false);
        check("", false);
        assert!(!says_json(&HeaderMap::new()));
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_bytes(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9000), 0..6)) {
            let whole: Vec<u8> = pieces.concat();
            let slices: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let limit = whole.len();
            prop_assert_eq!(read(&slices, None, limit).ok().unwrap(), whole.clone());
            prop_assert_eq!(read(&slices, Some(limit as u64), limit).ok().unwrap(), whole);
        }
    }
}

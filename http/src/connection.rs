//! One connection from its accept to its end: hyper, the deadlines, the way out when the server stops.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use strongroom_vault::audit;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use zeroize::Zeroizing;

use crate::auth::Peer;
use crate::call::State;
use crate::limits::{
    HEADER_BYTES_MAX, HEADER_SECONDS_MAX, IDLE_SECONDS_MAX, LINGER_BYTES_MAX, LINGER_MS,
    READ_BYTES_MAX,
};
use crate::scrub::ScrubIo;
use crate::service::serve;
use crate::watch::{Phase, Seen, Watch};
use crate::websocket::Session;
use crate::websocket::socket::Socket;

/// Tells all connections to end.
#[derive(Default)]
pub struct Stop {
    stage: AtomicUsize,
    called: Notify,
    busy: AtomicUsize,
}

/// How far a stop has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// None is wanted.
    Serve,
    /// Requests in flight are finished, everything else ends.
    Finish,
    /// Everything ends.
    Cut,
}

impl Stop {
    /// Connections finish what they are doing and end.
    pub fn finish(&self) {
        self.call(Stage::Finish);
    }

    /// Connections end.
    pub fn cut(&self) {
        self.call(Stage::Cut);
    }

    /// Connections that had a request in flight when they were told to finish.
    pub fn busy(&self) -> usize {
        self.busy.load(SeqCst)
    }

    /// Ready once connections have to end.
    pub async fn called(&self) {
        let mut called = pin!(self.called.notified());
        called.as_mut().enable();
        if self.stage() == Stage::Serve {
            called.await;
        }
    }

    fn call(&self, stage: Stage) {
        self.stage.store(stage as usize, SeqCst);
        self.called.notify_waiters();
    }

    fn stage(&self) -> Stage {
        match self.stage.load(SeqCst) {
            0 => Stage::Serve,
            1 => Stage::Finish,
            _ => Stage::Cut,
        }
    }
}

/// Serves requests of `peer`, who calls from there, on `stream` until it ends.
pub async fn run<S>(stream: S, peer: (Peer, audit::Peer), state: Arc<State>, stop: Arc<Stop>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (watch, switch) = (Arc::new(Watch::default()), Arc::new(Switch::default()));
    let io = ScrubIo::new(stream, watch.clone());
    let service = {
        let (watch, switch) = (watch.clone(), switch.clone());
        // Boxed, so that an idle connection keeps no room for it: 2 KB of the 16 that it may take.
        service_fn(move |request| {
            let (watch, switch) = (watch.clone(), switch.clone());
            Box::pin(serve(state.clone(), watch, switch, peer, request))
        })
    };
    let mut connection = builder().serve_connection(io, service);
    let mut clock = Clock::new();
    let mut timer = pin!(sleep_until(clock.armed));
    let ended = loop {
        // Registered before the stage is looked at, so that no call is missed.
        let mut called = pin!(stop.called.notified());
        called.as_mut().enable();
        match stop.stage() {
            Stage::Serve => (),
            Stage::Finish => match watch.look().phase {
                Phase::Head | Phase::Idle => break false,
                Phase::Busy | Phase::Answer => {
                    stop.busy.fetch_add(1, SeqCst);
                    Pin::new(&mut connection).graceful_shutdown();
                }
            },
            Stage::Cut => break false,
        }
        let next = poll_fn(|cx| {
            if Pin::new(&mut connection).poll(cx).is_ready() {
                return Poll::Ready(Next::Ended);
            }
            if clock.expired(cx, watch.look(), timer.as_mut()) {
                return Poll::Ready(Next::Expired);
            }
            called.as_mut().poll(cx).map(|()| Next::Called)
        });
        match next.await {
            Next::Ended => break true,
            Next::Expired => break false,
            Next::Called => (),
        }
    };
    if !ended {
        return;
    }
    let parts = connection.into_parts();
    let Some(stream) = parts.io.unended() else {
        return;
    };
    match switch.take() {
        Some(session) => {
            session
                .run(Socket::new(stream, parts.read_buf), &stop)
                .await
        }
        None => linger(stream, &stop).await,
    }
}

/// What the connection becomes when hyper is done with it, if it asked to become something.
#[derive(Default)]
pub struct Switch(Mutex<Option<Session>>);

impl Switch {
    /// Once hyper is done, `session` goes on.
    pub fn set(&self, session: Session) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
    }

    fn take(&self) -> Option<Session> {
        let mut session = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        session.take()
    }
}

enum Next {
    Ended,
    Expired,
    Called,
}

fn builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // Our own, see `Clock`.
        .header_read_timeout(None)
        .max_buf_size(HEADER_BYTES_MAX)
        // Queues bodies instead of copying them into a buffer of hyper's.
        .writev(true)
        // Without this hyper reads while a request is handled, only to learn whether the client has gone: into
        // a new buffer each time, for the headers still lie in the old one.
        .half_close(true);
    builder
}

/// The deadline of a connection. One timer, which is set again only when it fires or when the next deadline
/// comes before it.
struct Clock {
    seen: Option<Seen>,
    since: Instant,
    armed: Instant,
}

impl Clock {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            seen: None,
            since: now,
            armed: now + Duration::from_secs(HEADER_SECONDS_MAX),
        }
    }

    /// Whether the connection should have gone on by now; if not, the task is woken when it should have.
    fn expired(&mut self, cx: &mut Context<'_>, seen: Seen, mut timer: Pin<&mut Sleep>) -> bool {
        if self.seen != Some(seen) {
            let entered = self.seen.is_none_or(|before| before.phase != seen.phase);
            if entered && self.seen.is_some() || seen.phase.is_prolonged() {
                self.since = Instant::now();
            }
            self.seen = Some(seen);
        }
        let deadline = seen.phase.longest().map(|longest| self.since + longest);
        if deadline.is_some_and(|deadline| deadline < self.armed) {
            self.arm(deadline, timer.as_mut());
        }
        while timer.as_mut().poll(cx).is_ready() {
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return true;
            }
            self.arm(deadline, timer.as_mut());
        }
        false
    }

    fn arm(&mut self, deadline: Option<Instant>, timer: Pin<&mut Sleep>) {
        let far = || Instant::now() + Duration::from_secs(IDLE_SECONDS_MAX);
        self.armed = deadline.unwrap_or_else(far);
        timer.reset(self.armed);
    }
}

/// Reads and forgets what the client is still sending. Closing at once would reset the connection, and the
/// client might never see the answer that tells it why.
async fn linger<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, stop: &Stop) {
    // hyper has done this already where it sent an answer of its own accord or ours.
    if poll_fn(|cx| Pin::new(&mut stream).poll_shutdown(cx))
        .await
        .is_err()
    {
        return;
    }
    let mut scratch = Zeroizing::new(vec![0; READ_BYTES_MAX]);
    let mut left = LINGER_BYTES_MAX;
    let read_all = async {
        while stop.stage() == Stage::Serve && left > 0 {
            let mut buffer = ReadBuf::new(&mut scratch);
            let read = poll_fn(|cx| Pin::new(&mut stream).poll_read(cx, &mut buffer)).await;
            let count = buffer.filled().len();
            if read.is_err() || count == 0 {
                return;
            }
            left = left.saturating_sub(count);
        }
    };
    let _ = timeout(Duration::from_millis(LINGER_MS), read_all).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::WRITE_SILENCE_SECONDS_MAX;

    const FOREVER: Duration = Duration::from_secs(1_000);

    /// Seconds until a connection is given up on which `each_second` does something.
    async fn seconds(watch: Watch, each_second: impl Fn(&Watch)) -> u64 {
        let started = Instant::now();
        let mut clock = Clock::new();
        let mut timer = pin!(sleep_until(clock.armed));
        loop {
            let expired = poll_fn(|cx| match clock.expired(cx, watch.look(), timer.as_mut()) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            });
            if timeout(Duration::from_secs(1), expired).await.is_ok() || started.elapsed() > FOREVER
            {
                return started.elapsed().as_secs();
            }
            each_second(&watch);
        }
    }

    fn in_phase(steps: &[fn(&Watch)]) -> Watch {
        let watch = Watch::default();
        steps.iter().for_each(|step| step(&watch));
        watch
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_comes_before_the_timer_is_kept() {
        let watch = in_phase(&[Watch::begin, Watch::answer, Watch::flushed]);
        let started = Instant::now();
        // By then the timer is set to the end of the idle time.
        let late = Duration::from_secs(2 * HEADER_SECONDS_MAX);
        let head_begins = |watch: &Watch| {
            if started.elapsed() >= late {
                watch.received();
            }
        };
        let expected = late.as_secs() + HEADER_SECONDS_MAX;
        assert_eq!(seconds(watch, head_begins).await, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn each_phase_has_its_time() {
        let idle = || in_phase(&[Watch::begin, Watch::answer, Watch::flushed]);
        let check = async |watch: Watch, each_second: fn(&Watch), expected: u64| {
            assert_eq!(seconds(watch, each_second).await, expected);
        };
        let nothing: fn(&Watch) = |_| ();
        check(Watch::default(), nothing, HEADER_SECONDS_MAX).await;
        check(Watch::default(), Watch::received, HEADER_SECONDS_MAX).await;
        check(idle(), nothing, IDLE_SECONDS_MAX).await;
        check(idle(), Watch::received, 1 + HEADER_SECONDS_MAX).await;
        let answering = || in_phase(&[Watch::begin, Watch::answer]);
        check(answering(), nothing, WRITE_SILENCE_SECONDS_MAX).await;
        check(answering(), Watch::sent, 1_001).await;
        check(in_phase(&[Watch::begin]), nothing, 1_001).await;
    }
}

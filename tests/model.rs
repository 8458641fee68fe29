//! A model endpoint that answers from a script: chat completions, responses and Anthropic messages, streamed if asked.
//!
//! A request without `tools` asks for a title, and gets one at once. Any other takes the next [`Reply`] of the first
//! script whose word its body holds, or whose word is its conversation's id, so that conversations at the same time
//! each have their own. A reply that is held waits until the test lets it go; nothing here sleeps. Programs in other
//! languages script it by [control routes](Model::start).

mod control;
mod http;
mod reply;
mod wire;

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use http::Asked;
pub use reply::Reply;

/// Longest wait for something that a test waits for.
const PATIENCE: Duration = Duration::from_secs(180);

/// What answers where no script does.
type Rule = Box<dyn Fn(&Asked) -> Reply + Send + Sync>;

/// The endpoint. It ends with this value.
pub struct Model {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    load: Mutex<Load>,
    state: Mutex<State>,
    changed: Condvar,
    rule: Option<Rule>,
}

/// What the model had to do until now.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Load {
    /// Requests, titles too.
    pub requests: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// From each request's first line to its answer, which is then only sent.
    pub time: Duration,
}

#[derive(Default)]
struct State {
    scripts: Vec<(String, VecDeque<Reply>)>,
    asked: Vec<Asked>,
    /// Names of held replies: those that a request waits for, and those that were let go.
    arrived: BTreeSet<String>,
    released: BTreeSet<String>,
    count: u64,
    ended: bool,
}

impl Model {
    /// One that answers by scripts. `PUT /script` with `{"when": WORD, "replies": [..]}` adds one, `POST
    /// /release/NAME` lets a held reply go, `GET /arrived/NAME` answers once a request waits for it, and `GET
    /// /asked` gives the requests until now.
    ///
    /// # Errors
    /// There is no port.
    pub fn start() -> io::Result<Self> {
        Self::listen(None)
    }

    /// One that answers everything but titles by a rule, and remembers nothing.
    ///
    /// # Errors
    /// There is no port.
    pub fn by_rule(rule: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> io::Result<Self> {
        Self::listen(Some(Box::new(rule)))
    }

    fn listen(rule: Option<Rule>) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            load: Mutex::default(),
            state: Mutex::default(),
            changed: Condvar::new(),
            rule,
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if accepting.state().ended {
                    return;
                }
                let shared = Arc::clone(&accepting);
                std::thread::spawn(move || {
                    // A client that goes away is its own matter.
                    let _ = http::serve(stream, &shared.load, |asked| shared.answer(asked));
                });
            }
        });
        Ok(Self { address, shared })
    }

    /// Its `base_url` for chat completions and responses.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Its `base_url` for Anthropic messages.
    #[must_use]
    pub fn bare_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Adds replies for requests that hold this word; the empty word is in each.
    pub fn script(&self, word: &str, replies: impl IntoIterator<Item = Reply>) {
        self.shared.script(word, replies.into_iter().collect());
    }

    /// Lets the held reply of this name go, now or as soon as it is asked for.
    pub fn release(&self, name: &str) {
        self.shared.release(name);
    }

    /// Waits until a request waits for the held reply of this name.
    ///
    /// # Panics
    /// None does for minutes.
    pub fn arrived(&self, name: &str) {
        let came = self.shared.arrived(name);
        assert!(came, "no request waits for the reply \"{name}\"");
    }

    /// What it had to do until now.
    #[must_use]
    pub fn load(&self) -> Load {
        *self
            .shared
            .load
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The requests until now, titles too.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.state().asked.clone()
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        self.shared.state().ended = true;
        self.shared.changed.notify_all();
        // So that accepting ends; if nobody accepts any more, all the better.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn script(&self, word: &str, replies: VecDeque<Reply>) {
        let mut state = self.state();
        state.scripts.push((word.to_owned(), replies));
    }

    fn release(&self, name: &str) {
        self.state().released.insert(name.to_owned());
        self.changed.notify_all();
    }

    fn arrived(&self, name: &str) -> bool {
        self.wait(|state| state.arrived.contains(name))
    }

    /// Waits for something; false if it does not happen.
    fn wait(&self, happened: impl Fn(&State) -> bool) -> bool {
        let until = Instant::now() + PATIENCE;
        let mut state = self.state();
        while !happened(&state) && !state.ended {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        happened(&state)
    }

    fn answer(&self, asked: Asked) -> http::Answer {
        let Some(protocol) = wire::Protocol::of(&asked) else {
            return control::answer(self, &asked);
        };
        let (reply, number) = {
            let mut state = self.state();
            state.count += 1;
            (self.reply(&mut state, &asked), state.count)
        };
        if let Some(name) = reply.hold() {
            self.state().arrived.insert(name.to_owned());
            self.changed.notify_all();
            self.wait(|state| state.released.contains(name));
        }
        protocol.answer(&reply, &asked, number)
    }

    fn reply(&self, state: &mut State, asked: &Asked) -> Reply {
        if self.rule.is_none() {
            state.asked.push(asked.clone());
        }
        let scripts = state.scripts.iter_mut();
        let mut fitting = scripts.filter(|(word, _)| asked.is_about(word));
        match &self.rule {
            _ if asked.wants_title() => Reply::title(),
            Some(rule) => rule(asked),
            None => fitting
                .find_map(|(_, replies)| replies.pop_front())
                .unwrap_or_else(|| Reply::fails(400, "nothing is scripted for this request")),
        }
    }
}

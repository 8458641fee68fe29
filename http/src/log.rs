//! Log lines on standard error, as text or (`LOG_JSON`) one JSON object each.
//!
//! An [`Entry`] is a closed list of fields with types of their own: there is none that could hold a header, a
//! body, a query or a path as it was sent. What a route is called is its pattern in the table.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use strongroom_agent::isolate::Availability;
use strongroom_agent::json::{Json, Object};

use crate::error::Error;

mod file;

pub use file::LogFile;

/// How much a person wants to read. `LOG_LEVEL`; INFO unless told otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Faults of the server.
    Error,
    /// Trouble that the server gets over.
    Warn,
    /// Start and stop.
    Info,
    /// Every request.
    Debug,
}

impl Level {
    /// Reads a level by its usual names, in any case; `None` for anything else.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        Some(match text.trim().to_ascii_uppercase().as_str() {
            "ERROR" | "CRITICAL" | "FATAL" => Self::Error,
            "WARN" | "WARNING" => Self::Warn,
            "INFO" => Self::Info,
            "DEBUG" | "TRACE" | "NOTSET" => Self::Debug,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Warn => "WARN",
            Self::Info => "INFO",
            Self::Debug => "DEBUG",
        }
    }
}

/// Names one request in the log and in the answer to a fault: unique in the process, and not likely to come
/// again in another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId(u64);

impl RequestId {
    /// The id of the `count`th request of this process.
    #[must_use]
    pub fn new(count: u64) -> Self {
        Self(count)
    }
}

impl fmt::Display for RequestId {
    /// 32 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        static PROCESS: OnceLock<u64> = OnceLock::new();
        // An id only has to be unlike others; without random bytes the start time is enough.
        let process = PROCESS.get_or_init(|| {
            getrandom::u64().unwrap_or_else(|_| {
                let now = SystemTime::now().duration_since(UNIX_EPOCH);
                now.map_or(0, |time| {
                    time.as_secs() ^ u64::from(time.subsec_nanos()) << 32
                })
            })
        });
        write!(f, "{process:016x}{:016x}", self.0)
    }
}

/// One line of the log.
pub enum Entry<'a> {
    /// A request was answered.
    Request {
        /// Pattern of its route, or what stands for none.
        route: &'static str,
        /// Its method, if it is one of HTTP's own.
        method: &'static str,
        /// Status of the answer.
        status: u16,
        /// From the end of the headers to the answer.
        duration: Duration,
        /// Its id.
        id: RequestId,
    },
    /// A request failed through no fault of the client.
    Fault {
        /// Pattern of its route.
        route: &'static str,
        /// Its id, which the client got too.
        id: RequestId,
        /// What went wrong.
        error: &'a Error,
    },
    /// A connection could not be accepted: no descriptors, no memory.
    NoConnection {
        /// The system's answer.
        error: &'a std::io::Error,
    },
    /// The socket for commands of this machine could not be made.
    NoCommands {
        /// The system's answer.
        error: &'a std::io::Error,
    },
    /// What was read last is not in the audit trail.
    NoTrail {
        /// Why not.
        error: &'a Error,
    },
    /// Whether children are kept away from the vault's keys.
    Isolation {
        /// How, or why not and what helps.
        how: &'a Availability,
    },
    /// What has to be masked could not be read in: no conversation gets a secret.
    NotMasked {
        /// Why.
        error: &'a strongroom_agent::secrets::Error,
    },
    /// A conversation can't do something that was asked of it.
    Conversation {
        /// What, in words of ours.
        text: &'a str,
    },
    /// A program that runs for a conversation says something to people.
    Program {
        /// What, masked.
        text: &'a str,
    },
    /// The server is ending.
    Stopping {
        /// Connections that are still busy with a request.
        busy: usize,
    },
    /// The server has ended.
    Stopped {
        /// Connections that had to be cut off.
        cut: usize,
    },
}

impl Entry<'_> {
    fn level(&self) -> Level {
        match self {
            Self::Fault { .. } | Self::NoTrail { .. } | Self::NotMasked { .. } => Level::Error,
            Self::NoConnection { .. } | Self::NoCommands { .. } | Self::Conversation { .. } => {
                Level::Warn
            }
            Self::Isolation {
                how: Availability::Refused(_),
            } => Level::Warn,
            Self::Isolation { .. } | Self::Stopping { .. } | Self::Stopped { .. } => Level::Info,
            Self::Request { .. } | Self::Program { .. } => Level::Debug,
        }
    }

    fn event(&self) -> &'static str {
        match self {
            Self::Request { .. } => "request",
            Self::Fault { .. } => "fault",
            Self::NoConnection { .. } => "accept failed",
            Self::NoCommands { .. } => "no socket for commands of this machine",
            Self::NoTrail { .. } => "the audit trail could not be written",
            Self::Isolation { .. } => "isolation of the agent",
            Self::NotMasked { .. } => "secrets can't be masked, so none is handed out",
            Self::Conversation { .. } => "conversation",
            Self::Program { .. } => "program",
            Self::Stopping { .. } => "stopping",
            Self::Stopped { .. } => "stopped",
        }
    }

    fn fields(&self) -> Vec<(&'static str, Json)> {
        match self {
            Self::Request {
                route,
                method,
                status,
                duration,
                id,
            } => vec![
                ("method", Json::text(method)),
                ("route", Json::text(route)),
                ("status", Json::from(u64::from(*status))),
                ("us", Json::from(duration.as_micros() as u64)),
                ("id", Json::text(&id.to_string())),
            ],
            Self::Fault { route, id, error } => vec![
                ("route", Json::text(route)),
                ("id", Json::text(&id.to_string())),
                ("error", Json::text(&error.to_string())),
            ],
            Self::NoConnection { error } | Self::NoCommands { error } => {
                vec![("error", Json::text(&error.to_string()))]
            }
            Self::NoTrail { error } => vec![("error", Json::text(&error.to_string()))],
            Self::Isolation { how } => vec![("how", Json::text(&how.to_string()))],
            Self::NotMasked { error } => {
                let source = std::error::Error::source(error);
                let source = source.map(|source| format!(": {source}"));
                let whole = error.to_string() + &source.unwrap_or_default();
                vec![("error", Json::text(&whole))]
            }
            Self::Conversation { text } | Self::Program { text } => {
                vec![("note", Json::text(text))]
            }
            Self::Stopping { busy } => vec![("busy", Json::from(*busy as u64))],
            Self::Stopped { cut } => vec![("cut", Json::from(*cut as u64))],
        }
    }
}

/// Where entries go.
#[derive(Clone)]
pub struct Log {
    /// Entries of this level and graver ones are written.
    pub level: Level,
    /// Whether a line is a JSON object.
    pub json: bool,
    /// Where lines go beside standard error.
    pub file: Option<Arc<LogFile>>,
}

impl Default for Log {
    /// Text, from INFO on.
    fn default() -> Self {
        Self {
            level: Level::Info,
            json: false,
            file: None,
        }
    }
}

impl Log {
    /// Whether entries of `level` are written.
    #[must_use]
    pub fn takes(&self, level: Level) -> bool {
        level <= self.level
    }

    /// Writes `entry` unless the level is below what is wanted. A log that can't be written to is no reason
    /// to stop serving.
    pub fn write(&self, entry: &Entry<'_>) {
        if self.takes(entry.level()) {
            let now = SystemTime::now();
            let line = self.line(entry, now);
            let _ = std::io::stderr().lock().write_all(line.as_bytes());
            if let Some(file) = &self.file {
                file.write(line.as_bytes(), &timestamp(now));
            }
        }
    }

    fn line(&self, entry: &Entry<'_>, now: SystemTime) -> String {
        let (level, event) = (entry.level().name(), entry.event());
        if self.json {
            let mut object = Object::with_capacity(8);
            object.insert("time", Json::text(&timestamp(now)));
            object.insert("level", Json::text(level));
            object.insert("event", Json::text(event));
            for (name, value) in entry.fields() {
                object.insert(name, value);
            }
            let bytes = Json::Object(object).to_bytes();
            return String::from_utf8_lossy(bytes.expose()).into_owned() + "\n";
        }
        let mut line = format!("{} {level:5} {event}", timestamp(now));
        for (name, value) in entry.fields() {
            let _ = match &value {
                Json::Text(text) if !text.expose().contains([' ', '"']) => {
                    write!(line, " {name}={}", text.expose())
                }
                other => {
                    let bytes = other.to_bytes();
                    write!(line, " {name}={}", String::from_utf8_lossy(bytes.expose()))
                }
            };
        }
        line + "\n"
    }
}

/// UTC with milliseconds, as RFC 3339 writes it.
fn timestamp(time: SystemTime) -> String {
    let mut text = strongroom_agent::settings::timestamp(time);
    // Three of the six digits are enough for a log.
    text.truncate(text.len().saturating_sub("456Z".len()));
    text + "Z"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        let check = |seconds: u64, expected: &str| {
            assert_eq!(
                timestamp(UNIX_EPOCH + Duration::from_secs(seconds)),
                expected
            );
        };
        check(0, "1970-01-01T00:00:00.000Z");
        check(951_782_399, "2000-02-28T23:59:59.000Z");
        check(951_782_400, "2000-02-29T00:00:00.000Z");
        check(1_798_761_599, "2026-12-31T23:59:59.000Z");
    }

    #[test]
    fn lines_hold_the_fields_of_the_entry() {
        let entry = Entry::Request {
            route: "/api/settings/secrets/{name}",
            method: "GET",
            status: 200,
            duration: Duration::from_micros(12),
            id: RequestId::new(1),
        };
        let text = Log {
            level: Level::Debug,
            ..Log::default()
        }
        .line(&entry, UNIX_EPOCH);
        assert!(text.starts_with(
            "1970-01-01T00:00:00.000Z DEBUG request method=GET route=/api/settings/secrets/{name} status=200 us=12 id="
        ));
        let json = Log {
            level: Level::Debug,
            json: true,
            ..Log::default()
        }
        .line(&entry, UNIX_EPOCH);
        let json = Json::parse(json.trim_end().as_bytes()).unwrap();
        assert_eq!(json.get("event").unwrap().as_text(), Some("request"));
        assert!(json.get("us").unwrap().same(&Json::from(12_u64)));
    }

    #[test]
    fn levels_are_known_by_their_usual_names() {
        assert_eq!(Level::named("warning"), Some(Level::Warn));
        assert_eq!(Level::named("loud"), None);
        let log = Log::default();
        assert!(log.takes(Level::Error) && log.takes(Level::Info) && !log.takes(Level::Debug));
    }
}

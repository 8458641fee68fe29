//! `strongroom audit`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use hyper::Method;
use strongroom_agent::json::{Json, Object};
use strongroom_vault::audit::{Operation, Verdict};

use super::{Failure, Place, say, verify};
use crate::config::Environment;
use crate::limits::AUDIT_PAGE_ENTRIES;

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    list: List,
}

#[derive(Subcommand)]
enum Verb {
    /// Prove that no entry was changed, dropped, put elsewhere or cut off
    Verify(Place),
}

#[derive(Args)]
struct List {
    /// Not before: a time in UTC such as 2026-01-31 or 2026-01-31T12:30:00Z, or how long ago, such as 30m, 2h, 7d
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<SystemTime>,
    /// Before
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<SystemTime>,
    /// In this name (a key such as key:0, owner, local, nobody), from this address, for this conversation or with
    /// this tool
    #[arg(long)]
    who: Option<String>,
    /// What was done: read, write, delete, lookup, inject, export
    #[arg(long)]
    operation: Option<Operation>,
    /// What came of it: done, refused, absent, conflict, failed
    #[arg(long)]
    outcome: Option<Verdict>,
    /// Of the record of this name
    #[arg(long)]
    name: Option<String>,
    /// In this namespace, such as secrets, settings or llm-profiles
    #[arg(long)]
    namespace: Option<String>,
    /// The most entries to list
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    limit: usize,
    /// The first entry first, instead of the last
    #[arg(long)]
    oldest_first: bool,
    /// As JSON, an object in each line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(arguments: &Arguments, env: &mut Environment) -> Result<(), Failure> {
    match &arguments.verb {
        None => list(&arguments.list, env),
        Some(Verb::Verify(place)) => verify::ask(place, env, "/local/audit/verify", Failure::Trail),
    }
}

fn list(asked: &List, env: &mut Environment) -> Result<(), Failure> {
    let mut road = asked.place.road(env)?;
    let (mut left, mut next, mut damaged) = (asked.limit, None, false);
    while left > 0 {
        let path = asked.path(next, left.min(AUDIT_PAGE_ENTRIES));
        let answered = road.ask(Method::GET, &path, None)?;
        let answer = answered.json();
        let answer = answer.as_ref().and_then(Json::as_object);
        let list = |name| match answer.and_then(|answer| answer.get(name)) {
            Some(Json::List(items)) => items.as_slice(),
            _ => &[],
        };
        for entry in list("entries") {
            left = left.saturating_sub(1);
            match entry {
                _ if asked.json => say(&String::from_utf8_lossy(entry.to_bytes().expose())),
                Json::Object(entry) => say(&line(entry)),
                _ => {}
            }
        }
        for problem in list("problems").iter().filter_map(Json::as_text) {
            super::run::warn(problem);
            damaged = true;
        }
        next = answer
            .and_then(|answer| answer.get("next"))
            .and_then(number);
        if next.is_none() {
            break;
        }
    }
    if damaged { Err(Failure::Trail) } else { Ok(()) }
}

impl List {
    fn path(&self, from: Option<u64>, limit: usize) -> String {
        let mut path = format!("/local/audit?limit={limit}");
        let mut add = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                path.push_str(&format!("&{name}="));
                value
                    .bytes()
                    .for_each(|byte| path.push_str(&format!("%{byte:02X}")));
            }
        };
        add("from", from.map(|from| from.to_string()));
        add("since", self.since.map(millis));
        add("until", self.until.map(millis));
        add("who", self.who.clone());
        add("operation", self.operation.map(|one| one.word().to_owned()));
        add("outcome", self.outcome.map(|one| one.word().to_owned()));
        add("name", self.name.clone());
        add("namespace", self.namespace.clone());
        add("oldest_first", self.oldest_first.then(|| "1".to_owned()));
        path
    }
}

fn millis(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis().to_string()
}

fn number(json: &Json) -> Option<u64> {
    std::str::from_utf8(json.to_bytes().expose())
        .ok()?
        .parse()
        .ok()
}

/// `TIME  OPERATION  OUTCOME  NAMESPACE/NAME@VERSION  WHO from ADDRESS, conversation, tool`.
fn line(entry: &Object) -> String {
    let text = |name| entry.get(name).and_then(Json::as_text).unwrap_or_default();
    let mut what = match (text("namespace"), text("name")) {
        ("", "") => "-".to_owned(),
        (namespace, "") => format!("{namespace}/*"),
        (namespace, name) => format!("{namespace}/{name}"),
    };
    if let Some(version) = entry.get("version").and_then(number) {
        what.push_str(&format!("@{version}"));
    }
    let mut who = format!("{} from {}", text("who"), text("from"));
    for (about, name) in [("conversation", "conversation"), ("with", "tool")] {
        if !text(name).is_empty() {
            who.push_str(&format!(", {about} {}", text(name)));
        }
    }
    if let Some(times) = entry.get("times").and_then(number) {
        who.push_str(&format!(", {times} times"));
    }
    let (time, operation, outcome) = (text("time"), text("operation"), text("outcome"));
    format!("{time}  {operation:<7} {outcome:<8} {what:<32} {who}")
}

/// A time of day in UTC, or how long ago.
fn time(text: &str) -> Result<SystemTime, String> {
    let ago = || {
        let (count, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let seconds: u64 = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return None,
        };
        let seconds = count
            .parse::<u32>()
            .ok()
            .map(|count| u64::from(count) * seconds)?;
        SystemTime::now().checked_sub(Duration::from_secs(seconds))
    };
    let found = ago().or_else(|| at(text));
    found.ok_or_else(|| "a time such as 2026-01-31, 2026-01-31T12:30:00Z, 30m, 2h or 7d".to_owned())
}

/// `YYYY-MM-DD`, then perhaps `THH:MM`, `:SS` and `Z`; from 1970 on.
fn at(text: &str) -> Option<SystemTime> {
    let (date, clock) = match text.split_once(['T', ' ']) {
        Some((date, clock)) => (date, clock.trim_end_matches('Z')),
        None => (text, "0:0"),
    };
    let parts = |text: &str, by: char| -> Option<Vec<u64>> {
        text.split(by)
            .map(|part| part.parse::<u32>().ok().map(u64::from))
            .collect()
    };
    let (date, mut clock) = (parts(date, '-')?, parts(clock, ':')?);
    if clock.len() == 2 {
        clock.push(0);
    }
    let ([year, month, day], [hour, minute, second]) = (&*date, &*clock) else {
        return None;
    };
    let within = (1970..=9999).contains(year)
        && (1..=12).contains(month)
        && (1..=31).contains(day)
        && *hour < 24
        && *minute < 60
        && *second < 60;
    within.then_some(())?;
    // Month and day to days: H. Hinnant, "chrono-compatible low-level date algorithms", with years from March on.
    let (years, month) = match month {
        1 | 2 => (year - 1, month + 9),
        _ => (*year, month - 3),
    };
    let days =
        years * 365 + years / 4 - years / 100 + years / 400 + (153 * month + 2) / 5 + day - 1;
    let seconds = (days - 719_468) * 86_400 + hour * 3_600 + minute * 60 + second;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use strongroom_agent::settings::timestamp;

    use super::*;

    #[test]
    fn times_are_of_the_calendar_or_ago() {
        for (text, expected) in [
            ("1970-01-01", "1970-01-01T00:00:00.000000Z"),
            ("2024-02-29T23:59:58Z", "2024-02-29T23:59:58.000000Z"),
            ("2026-11-24 16:34", "2026-11-24T16:34:00.000000Z"),
            ("2000-03-01", "2000-03-01T00:00:00.000000Z"),
        ] {
            assert_eq!(timestamp(time(text).unwrap()), expected);
        }
        let hour = SystemTime::now()
            .duration_since(time("1h").unwrap())
            .unwrap();
        assert!((3_599..3_700).contains(&hour.as_secs()));
        for bad in [
            "",
            "h",
            "ü",
            "-1h",
            "1970-13-01",
            "1969-01-01",
            "2026-1",
            "12:30",
            "99999999999d",
        ] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_line_says_all_that_is_known() {
        let entry = br#"{"sequence":1,"time":"T","who":"key:0","from":"::1","conversation":"c","tool":"t",
            "operation":"read","namespace":"secrets","name":"A","version":2,"outcome":"done","times":3}"#;
        let Ok(Json::Object(entry)) = Json::parse(entry) else {
            panic!("it is an object")
        };
        let line = line(&entry);
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(
            words.join(" "),
            "T read done secrets/A@2 key:0 from ::1, conversation c, with t, 3 times"
        );
    }
}

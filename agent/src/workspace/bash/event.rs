//! What is told of a command, in the words of the wire.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::json::{Json, Object};
use crate::settings::timestamp;

/// An id: 128 random bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Id(u128);

impl Id {
    /// A new one.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn fresh() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        // Version 4, by RFC 9562.
        let random = u128::from_be_bytes(bytes);
        Ok(Self(
            random & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62),
        ))
    }

    /// One of the ids next to this one, for want of a random one.
    pub(super) fn beside(self, number: u64) -> Self {
        Self(self.0.wrapping_add(1 + u128::from(number)))
    }

    /// The id with these 32 hexadecimal digits, with or without dashes in the usual places.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let hex = match text.len() {
            32 => text.to_owned(),
            36 if crate::profiles::is_uuid(text) => text.replace('-', ""),
            _ => return None,
        };
        let digits = hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        let id = u128::from_str_radix(&hex, 16).ok()?;
        digits.then_some(Self(id))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:032x}", self.0)
    }
}

/// Something that happened to a command. Its texts are masked.
pub struct Event {
    /// Its own id; a command is known by that of its [`Body::Command`].
    pub id: Id,
    /// When.
    pub time: SystemTime,
    /// What.
    pub body: Body,
}

/// What happened.
pub enum Body {
    /// It was started.
    Command {
        /// For `sh -c`.
        command: String,
        /// Where, if that was said.
        cwd: Option<String>,
        /// In seconds.
        timeout: u64,
    },
    /// It has printed something, or has ended, or both.
    Output {
        /// Which command.
        command: Id,
        /// Counted from 0 for each command.
        order: u64,
        /// On the last one of a command.
        exit_code: Option<i32>,
        /// Standard output.
        stdout: Option<String>,
        /// Standard error.
        stderr: Option<String>,
    },
}

impl Event {
    /// How it looks on the wire.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let text = |text: &Option<String>| text.as_deref().map_or(Json::Null, Json::text);
        let id = Json::text(&self.id.to_string());
        let time = Json::text(&timestamp(self.time));
        let mut object = Object::with_capacity(8);
        match &self.body {
            Body::Command {
                command,
                cwd,
                timeout,
            } => {
                object.insert("command", Json::text(command));
                object.insert("cwd", text(cwd));
                object.insert("timeout", *timeout);
                object.insert("id", id);
                object.insert("timestamp", time);
                object.insert("kind", Json::text("BashCommand"));
            }
            Body::Output {
                command,
                order,
                exit_code,
                stdout,
                stderr,
            } => {
                object.insert("id", id);
                object.insert("timestamp", time);
                object.insert("command_id", Json::text(&command.to_string()));
                object.insert("order", *order);
                let code = exit_code.map_or(Json::Null, |code| Json::from(i64::from(code)));
                object.insert("exit_code", code);
                object.insert("stdout", text(stdout));
                object.insert("stderr", text(stderr));
                object.insert("kind", Json::text("BashOutput"));
            }
        }
        Json::Object(object)
    }

    /// Bytes of its texts.
    pub(super) fn bytes(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        match &self.body {
            Body::Command { command, cwd, .. } => command.len() + text(cwd),
            Body::Output { stdout, stderr, .. } => text(stdout) + text(stderr),
        }
    }

    /// The command that it is about.
    pub(super) fn command(&self) -> Id {
        match self.body {
            Body::Command { .. } => self.id,
            Body::Output { command, .. } => command,
        }
    }
}

/// The moment that is written as RFC 3339 has it; without a zone it is UTC, without a time it is midnight.
#[must_use]
pub fn moment(text: &str) -> Option<SystemTime> {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u64>().ok()).flatten()
    };
    let (date, rest) = text.split_at_checked(10)?;
    let [year, month, day] = parts(date, '-', &number)?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 => 28 + u64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if year < 1970 || day < 1 || day > last {
        return None;
    }
    // Year, month and day to days: H. Hinnant, "chrono-compatible low-level date algorithms".
    let shifted = if month > 2 { year } else { year - 1 };
    let (era, year_of_era) = (shifted / 400, shifted % 400);
    let from_march = (month + 9) % 12;
    let day_of_year = (153 * from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = (era * 146_097 + day_of_era).checked_sub(719_468)?;
    let midnight = UNIX_EPOCH.checked_add(Duration::from_secs(days * 86_400))?;
    if rest.is_empty() {
        return Some(midnight);
    }
    let time = rest.strip_prefix(['T', 't', ' '])?;
    let (time, offset) = match time.find(['Z', 'z', '+', '-']) {
        Some(at) => time.split_at_checked(at)?,
        None => (time, "Z"),
    };
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let clock = if clock.len() == 5 {
        format!("{clock}:00")
    } else {
        clock.to_owned()
    };
    let [hour, minute, second] = parts(&clock, ':', &number)?;
    let nanos = number(&format!("{fraction:0<9}")).filter(|_| (1..=9).contains(&fraction.len()))?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = Duration::from_secs(hour * 3_600 + minute * 60 + second);
    let local = midnight.checked_add(seconds + Duration::from_nanos(nanos))?;
    if matches!(offset, "Z" | "z") {
        return Some(local);
    }
    let (sign, offset) = offset.split_at_checked(1)?;
    let (hours, minutes) = match offset.split_once(':') {
        Some(split) => split,
        None => offset.split_at_checked(2)?,
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    let offset = Duration::from_secs(hours * 3_600 + minutes * 60);
    match sign {
        "+" => local.checked_sub(offset),
        _ => local.checked_add(offset),
    }
}

fn parts<const N: usize>(
    text: &str,
    between: char,
    number: &impl Fn(&str) -> Option<u64>,
) -> Option<[u64; N]> {
    let parts: Option<Vec<u64>> = text.split(between).map(number).collect();
    parts?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_they_are_written() {
        for seconds in [0, 951_782_399, 951_782_400, 1_709_164_800, 4_107_542_399] {
            let time = UNIX_EPOCH + Duration::new(seconds, 123_456_000);
            assert_eq!(moment(&timestamp(time)), Some(time), "{}", timestamp(time));
        }
        let at = |text: &str| moment(text).map(timestamp);
        let noon = Some("2026-11-24T12:00:00.000000Z".to_owned());
        for same in [
            "2026-11-24T12:00:00",
            "2026-11-24 12:00",
            "2026-11-24T12:00:00.000Z",
            "2026-11-24T14:30:00+02:30",
            "2026-11-24T04:00:00-0800",
        ] {
            assert_eq!(at(same), noon, "{same}");
        }
        assert_eq!(
            at("2026-11-24"),
            Some("2026-11-24T00:00:00.000000Z".to_owned())
        );
        for wrong in [
            "",
            "now",
            "2026-02-29",
            "2026-13-01",
            "2026-1-01",
            "1969-12-31",
            "2026-11-24T",
            "2026-11-24T25:00",
            "2026-11-24T12:00:00.",
            "2026-11-24T12:00:00+",
            "2026-11-24T12:00:00+é",
            "é026-11-24",
            "+026-11-24",
            "2026-11-24T12:00:00.0000000001",
        ] {
            assert_eq!(at(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn ids_are_read_with_and_without_dashes() {
        let id = Id::fresh().unwrap();
        let hex = id.to_string();
        assert!(Id::parse(&hex) == Some(id) && hex.len() == 32);
        let mut dashed = hex.clone();
        for place in [20, 16, 12, 8] {
            dashed.insert(place, '-');
        }
        assert!(Id::parse(&dashed) == Some(id));
        for wrong in [
            "",
            "x",
            &hex[1..],
            &format!("+{}", &hex[1..]),
            &"é".repeat(16),
        ] {
            assert!(Id::parse(wrong).is_none(), "{wrong}");
        }
    }
}

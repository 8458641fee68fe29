//! The time of events: that of the machine's place, in microseconds, without naming the place.

#![allow(
    unsafe_code,
    reason = "only the C library knows how far local time is from UTC"
)]

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::settings::timestamp;

/// A time in microseconds: those since the beginning of 1970, as clocks of the place show it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

/// The text is no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotATime;

impl Moment {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        let utc = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let micros = u64::try_from(utc.as_micros()).unwrap_or(u64::MAX);
        let offset = offset_seconds(utc.as_secs()).saturating_mul(1_000_000);
        Self(micros.saturating_add_signed(offset))
    }

    /// The next one that can be told from it.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = timestamp(UNIX_EPOCH + Duration::from_micros(self.0));
        f.write_str(text.strip_suffix('Z').unwrap_or(&text))
    }
}

/// Seconds that local time is ahead of UTC.
#[cfg(unix)]
fn offset_seconds(utc: u64) -> i64 {
    let Ok(utc) = libc::time_t::try_from(utc) else {
        return 0;
    };
    let mut broken = std::mem::MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are to values of the right type that outlive the call, and an all-zero `tm` is one.
    unsafe {
        if libc::localtime_r(&raw const utc, broken.as_mut_ptr()).is_null() {
            return 0;
        }
        broken.assume_init().tm_gmtoff
    }
}

/// Seconds that local time is ahead of UTC: without a C library, the place is taken to be in UTC.
#[cfg(not(unix))]
fn offset_seconds(_: u64) -> i64 {
    0
}

impl FromStr for Moment {
    type Err = NotATime;

    /// Reads ISO 8601: a date, or a date and a time to the minute, the second or a part of it. One that names its
    /// offset from UTC is turned into local time.
    fn from_str(text: &str) -> Result<Self, NotATime> {
        parse(text).ok_or(NotATime)
    }
}

fn parse(text: &str) -> Option<Moment> {
    let (date, time) = match text.split_at_checked(10)? {
        (date, "") => (date, "00:00"),
        (date, time) => (date, time.strip_prefix(['T', 't', ' '])?),
    };
    let mut parts = date.splitn(3, '-');
    let (year, month, day) = (
        digits(parts.next()?, 4)?,
        digits(parts.next()?, 2)?,
        digits(parts.next()?, 2)?,
    );
    let zone = time.find(['Z', 'z', '+', '-']);
    let (clock, zone) = time.split_at_checked(zone.unwrap_or(time.len()))?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut parts = clock.splitn(3, ':');
    let (hour, minute) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let second = parts.next().map_or(Some(0), |part| digits(part, 2))?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let longest = match month {
        2 => 28 + u64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let fits = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=longest).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60
        && fraction.len() <= 9;
    if !fits {
        return None;
    }
    let mut micros = 0;
    let kept = fraction.chars().chain(std::iter::repeat('0')).take(6);
    for digit in kept {
        micros = micros * 10 + u64::from(digit.to_digit(10)?);
    }
    // From year, month and day to days: H. Hinnant, "chrono-compatible low-level date algorithms".
    let year = if month <= 2 { year - 1 } else { year };
    let from_march = (month + 9) % 12;
    let day_of_era = year % 400 * 365 + year % 400 / 4 - year % 400 / 100
        + (153 * from_march + 2) / 5
        + (day - 1);
    let days = (year / 400 * 146_097 + day_of_era).checked_sub(719_468)?;
    let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second;
    let offset = match zone.as_bytes() {
        [] => 0,
        [b'Z' | b'z'] => offset_seconds(seconds),
        [sign, ..] => {
            let given = zone.get(1..)?;
            let (hours, minutes) = given
                .split_once(':')
                .or_else(|| given.split_at_checked(2))?;
            let minutes = if minutes.is_empty() {
                0
            } else {
                digits(minutes, 2)?
            };
            let given = i64::try_from(digits(hours, 2)? * 3_600 + minutes * 60).ok()?;
            let given = if *sign == b'-' { -given } else { given };
            let utc = seconds.checked_add_signed(-given)?;
            offset_seconds(utc) - given
        }
    };
    let seconds = seconds.checked_add_signed(offset)?;
    Some(Moment(seconds * 1_000_000 + micros))
}

fn digits(text: &str, count: usize) -> Option<u64> {
    let fits = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| text.parse().ok())?
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(from)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl fmt::Display for NotATime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a time")
    }
}

impl std::error::Error for NotATime {}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        text.parse::<Moment>().ok().map(|moment| moment.to_string())
    }

    #[test]
    fn times_are_read_as_they_are_written() {
        for (text, expected) in [
            ("2024-02-29T12:34:56.789012", "2024-02-29T12:34:56.789012"),
            ("2024-12-31 23:59:59.5", "2024-12-31T23:59:59.500000"),
            ("1970-01-01", "1970-01-01T00:00:00.000000"),
            ("2000-03-01T01:02", "2000-03-01T01:02:00.000000"),
            ("2026-11-24T16:41:23.1234567", "2026-11-24T16:41:23.123456"),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
        for bad in [
            "",
            "x",
            "2024-02-30",
            "2023-02-29",
            "2024-13-01",
            "2024-01-01T24:00",
            "2024-01-01T1:00",
            "1969-12-31T23:59:59",
            "2024-01-01T00:00:00.",
            "2024-01-01Tééé",
            "2024-01-01T00:00:00+1",
            "2024-1-011",
        ] {
            let fine = bad == "2024-01-01T00:00:00.";
            assert_eq!(read(bad).is_some(), fine, "{bad}");
        }
    }

    #[test]
    fn an_offset_is_taken_into_account() {
        let utc: Moment = "2024-05-05T10:00:00Z".parse().unwrap();
        for same in [
            "2024-05-05T12:00:00+02:00",
            "2024-05-05T05:30:00-0430",
            "2024-05-05T11:00:00+01",
        ] {
            assert_eq!(same.parse(), Ok(utc), "{same}");
        }
    }

    #[test]
    fn now_is_the_local_time() {
        let (before, now) = (SystemTime::now(), Moment::now());
        let utc = before.duration_since(UNIX_EPOCH).unwrap().as_micros() as i64;
        let ahead = now.0 as i64 - utc - offset_seconds(utc as u64 / 1_000_000) * 1_000_000;
        assert!((0..60_000_000).contains(&ahead), "{ahead}");
        assert_eq!(now.to_string().parse(), Ok(now));
        assert!(now.next() > now);
    }
}

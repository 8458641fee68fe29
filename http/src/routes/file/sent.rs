//! A file as an answer: all of it, or the range of it that was asked for.

use std::io::{Seek as _, SeekFrom};
use std::time::SystemTime;

use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use strongroom_agent::settings::timestamp;
use strongroom_agent::workspace::files::Stored;

use crate::call::Call;
use crate::error::{Error, Refusal};
use crate::pieces::Pieces;
use crate::reply::{self, Content, Reply};

/// The file, as the type `kind`.
///
/// # Errors
/// A Range header that can't be read.
pub(crate) async fn send(call: &Call, stored: Stored, kind: &str) -> Result<Reply, Error> {
    let Stored { file, metadata } = stored;
    let length = metadata.len();
    let changed = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    let etag = etag(changed, length);
    let date = http_date(changed);
    let range = match call.text_header("range") {
        Some(range) if is_current(call, &etag, &date) => Range::read(&range, length)?,
        _ => Range::All,
    };
    let (status, begin, end) = match range {
        Range::All => (StatusCode::OK, 0, length),
        Range::Part(begin, end) => (StatusCode::PARTIAL_CONTENT, begin, end),
        Range::Outside => {
            let mut reply = reply::text(StatusCode::RANGE_NOT_SATISFIABLE, "");
            put(
                &mut reply,
                header::CONTENT_RANGE,
                &format!("bytes */{length}"),
            );
            return Ok(reply);
        }
    };
    let pieces = if begin == 0 {
        Pieces::new(&call.state, file, end)
    } else {
        let mut file = file;
        let seek = move || {
            file.seek(SeekFrom::Start(begin))
                .map_err(strongroom_agent::workspace::confine::Refused::from)?;
            Ok::<_, Error>(file)
        };
        Pieces::new(&call.state, call.state.pool.write(seek).await?, end - begin)
    };
    let mut reply = Response::new(Content::pieces(pieces));
    *reply.status_mut() = status;
    put(&mut reply, header::CONTENT_TYPE, kind);
    put(&mut reply, header::ACCEPT_RANGES, "bytes");
    put(&mut reply, header::LAST_MODIFIED, &date);
    put(&mut reply, header::ETAG, &etag);
    if status == StatusCode::PARTIAL_CONTENT {
        let last = end - 1;
        put(
            &mut reply,
            header::CONTENT_RANGE,
            &format!("bytes {begin}-{last}/{length}"),
        );
    }
    Ok(reply)
}

/// Sets a header whose value is made of visible ASCII.
pub(crate) fn put(reply: &mut Reply, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        reply.headers_mut().insert(name, value);
    }
}

/// Whether the part that is wanted is one of the file as it is now.
fn is_current(call: &Call, etag: &str, date: &str) -> bool {
    let condition = call.text_header("if-range");
    condition.is_none_or(|condition| condition == etag || condition == date)
}

/// Which part of a file is wanted.
#[derive(Debug, PartialEq, Eq)]
enum Range {
    /// All of it. Several ranges at once come as the whole, which RFC 9110 leaves to the server.
    All,
    /// From the first number on, up to but without the second.
    Part(u64, u64),
    /// One that begins behind its end.
    Outside,
}

impl Range {
    fn read(text: &str, length: u64) -> Result<Self, Error> {
        let malformed = || Error::from(Refusal::Range);
        let (unit, ranges) = text.split_once('=').ok_or_else(malformed)?;
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return Err(malformed());
        }
        if ranges.contains(',') {
            return Ok(Self::All);
        }
        let (first, last) = ranges.trim().split_once('-').ok_or_else(malformed)?;
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse().unwrap_or(u64::MAX))
        };
        let (begin, end) = match (first.trim(), last.trim()) {
            ("", last) => (
                length.saturating_sub(number(last).ok_or_else(malformed)?),
                length,
            ),
            (first, "") => (number(first).ok_or_else(malformed)?, length),
            (first, last) => {
                let last = number(last).ok_or_else(malformed)?;
                (
                    number(first).ok_or_else(malformed)?,
                    last.saturating_add(1).min(length),
                )
            }
        };
        if begin >= length {
            return Ok(Self::Outside);
        }
        if begin >= end {
            return Err(malformed());
        }
        Ok(Self::Part(begin, end))
    }
}

fn etag(changed: SystemTime, length: u64) -> String {
    let since = changed
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    format!("\"{:x}-{length:x}\"", since.as_nanos())
}

/// As RFC 9110 writes a date.
fn http_date(time: SystemTime) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let weekday = DAYS
        .iter()
        .cycle()
        .nth((since.as_secs() / 86_400 % 7) as usize);
    let text = timestamp(time);
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    let month = part(5, 7)
        .parse::<usize>()
        .ok()
        .and_then(|month| MONTHS.get(month.wrapping_sub(1)));
    format!(
        "{}, {} {} {} {} GMT",
        weekday.unwrap_or(&""),
        part(8, 10),
        month.unwrap_or(&""),
        part(0, 4),
        part(11, 19)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn ranges_are_read() {
        let check = |text: &str, expected: Option<Range>| {
            assert_eq!(Range::read(text, 10).ok(), expected, "{text}");
        };
        check("bytes=0-0", Some(Range::Part(0, 1)));
        check("bytes=2-", Some(Range::Part(2, 10)));
        check("Bytes= 2 - 99", Some(Range::Part(2, 10)));
        check("bytes=-3", Some(Range::Part(7, 10)));
        check("bytes=-99", Some(Range::Part(0, 10)));
        check("bytes=0-1,4-5", Some(Range::All));
        check("bytes=10-", Some(Range::Outside));
        check("bytes=-0", Some(Range::Outside));
        check("bytes=99999999999999999999-", Some(Range::Outside));
        for wrong in [
            "bytes",
            "lines=1-2",
            "bytes=x",
            "bytes=-",
            "bytes=5-2",
            "bytes=+1-2",
            "bytes=1-x",
        ] {
            check(wrong, None);
        }
        assert!(matches!(Range::read("bytes=0-", 0), Ok(Range::Outside)));
    }

    #[test]
    fn dates_are_those_of_http() {
        let date = |seconds| http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
    }
}

//! How long to wait before asking again. Pure data.

use std::time::Duration;

use hyper::HeaderMap;

use super::config::Config;
use crate::limits::LLM_RETRY_AFTER_SECONDS_MAX;

/// The wait after the attempt of that number (from 1): `multiplier * 2^(attempt - 1)` seconds, at least
/// the settings' least wait, at most their longest. A provider that asks for more gets it, within
/// [`LLM_RETRY_AFTER_SECONDS_MAX`].
pub(crate) fn wait(config: &Config, attempt: u32, asked: Option<Duration>) -> Duration {
    let exponent = i32::try_from(attempt.saturating_sub(1))
        .unwrap_or(i32::MAX)
        .min(64);
    let seconds = (config.retry_multiplier * 2f64.powi(exponent))
        .min(config.retry_max_wait.as_secs_f64())
        .max(config.retry_min_wait.as_secs_f64());
    Duration::from_secs_f64(seconds).max(asked.unwrap_or_default())
}

/// The wait that a provider asks for, in seconds or milliseconds. A date is not understood.
pub(crate) fn asked_for(headers: &HeaderMap) -> Option<Duration> {
    let number =
        |name: &str| -> Option<f64> { headers.get(name)?.to_str().ok()?.trim().parse().ok() };
    let seconds = number("retry-after-ms")
        .map(|ms| ms / 1000.0)
        .or_else(|| number("retry-after"))?;
    (seconds >= 0.0).then(|| Duration::from_secs_f64(seconds.min(LLM_RETRY_AFTER_SECONDS_MAX)))
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn seconds(config: &Config, attempts: std::ops::RangeInclusive<u32>) -> Vec<f64> {
        attempts
            .map(|attempt| wait(config, attempt, None).as_secs_f64())
            .collect()
    }

    #[test]
    fn waits_grow_as_the_contract_shows() {
        let mut config = Config::new("m");
        assert_eq!(seconds(&config, 1..=5), [8.0, 16.0, 32.0, 64.0, 64.0]);
        config.retry_multiplier = 0.5;
        config.retry_min_wait = Duration::from_secs(1);
        assert_eq!(seconds(&config, 1..=4), [1.0, 1.0, 2.0, 4.0]);
        config.retry_max_wait = Duration::ZERO;
        config.retry_min_wait = Duration::ZERO;
        assert_eq!(seconds(&config, 1..=2), [0.0, 0.0]);
        config.retry_multiplier = f64::MAX;
        config.retry_max_wait = Duration::from_secs(9);
        assert_eq!(wait(&config, u32::MAX, None), Duration::from_secs(9));
    }

    #[test]
    fn a_provider_may_ask_for_more() {
        let config = Config::new("m");
        assert_eq!(
            wait(&config, 1, Some(Duration::from_secs(20))),
            Duration::from_secs(20)
        );
        assert_eq!(
            wait(&config, 1, Some(Duration::from_secs(2))),
            Duration::from_secs(8)
        );
        let check = |name: &'static str, value: &'static str, expected: Option<f64>| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            assert_eq!(
                asked_for(&headers).map(|wait| wait.as_secs_f64()),
                expected,
                "{value}"
            );
        };
        check("retry-after", "20", Some(20.0));
        check("retry-after", " 1.5 ", Some(1.5));
        check("retry-after-ms", "250", Some(0.25));
        check("retry-after", "1e30", Some(LLM_RETRY_AFTER_SECONDS_MAX));
        check("retry-after", "-3", None);
        check("retry-after", "NaN", None);
        check("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT", None);
    }
}

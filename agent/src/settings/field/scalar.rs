//! Truth values, numbers and texts, with the reference's lenient conversions.

use super::{Field, Reading, Rule};
use crate::json::{Json, Text};
use crate::settings::fault::cleaned;
use crate::settings::secret::View;

impl Field for bool {
    fn read(input: &Json, _: Option<&Json>, run: &mut Reading<'_>) -> Option<Self> {
        let truth = match input {
            Json::Bool(truth) => Some(*truth),
            Json::Number(number) => match number.as_f64() {
                Some(0.0) => Some(false),
                Some(1.0) => Some(true),
                _ => None,
            },
            Json::Text(text) => match text.expose().to_ascii_lowercase().as_str() {
                "1" | "true" | "t" | "yes" | "y" | "on" => Some(true),
                "0" | "false" | "f" | "no" | "n" | "off" => Some(false),
                _ => None,
            },
            _ => {
                let fault = run.fault(
                    "bool_type",
                    "Input should be a valid boolean",
                    cleaned(input),
                );
                return run.refuse(fault);
            }
        };
        if truth.is_none() {
            let msg = "Input should be a valid boolean, unable to interpret input";
            let fault = run.fault("bool_parsing", msg, cleaned(input));
            return run.refuse(fault);
        }
        truth
    }

    fn show(&self, _: &View<'_>) -> Json {
        Json::Bool(*self)
    }
}

impl Field for i64 {
    fn read(input: &Json, _: Option<&Json>, run: &mut Reading<'_>) -> Option<Self> {
        let (kind, msg) = match input {
            Json::Bool(truth) => return Some(Self::from(*truth)),
            Json::Number(number) => {
                let exact = number.as_i64().or_else(|| whole(number.as_f64()?));
                match exact {
                    Some(whole) => return Some(whole),
                    None => (
                        "int_from_float",
                        "Input should be a valid integer, got a number with a fractional part",
                    ),
                }
            }
            Json::Text(text) => match whole_in_text(text.expose()) {
                Some(whole) => return Some(whole),
                None => (
                    "int_parsing",
                    "Input should be a valid integer, unable to parse string as an integer",
                ),
            },
            _ => ("int_type", "Input should be a valid integer"),
        };
        let fault = run.fault(kind, msg, cleaned(input));
        run.refuse(fault)
    }

    fn show(&self, _: &View<'_>) -> Json {
        Json::from(*self)
    }

    fn obeys(&self, rule: &Rule) -> bool {
        rule.allows(*self as f64)
    }
}

/// A double without a fraction, as an integer, where doubles are exact.
fn whole(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}

/// " 5 ", "+5", "5_0" and "1.0" are integers, "1e2" and "0x10" are not.
fn whole_in_text(text: &str) -> Option<i64> {
    let text = text.trim();
    let text = text.strip_suffix(".0").unwrap_or(text);
    if text.contains("__") || text.starts_with('_') || text.ends_with('_') {
        return None;
    }
    text.replace('_', "").parse().ok()
}

impl Field for f64 {
    fn read(input: &Json, _: Option<&Json>, run: &mut Reading<'_>) -> Option<Self> {
        let (kind, msg) = match input {
            Json::Bool(truth) => return Some(Self::from(u8::from(*truth))),
            Json::Number(number) => match number.as_f64() {
                Some(number) => return Some(number),
                None => ("float_type", "Input should be a valid number"),
            },
            // Infinity and NaN cannot be stored, so they are no numbers here either.
            Json::Text(text) => match text
                .expose()
                .trim()
                .parse::<Self>()
                .ok()
                .filter(|n| n.is_finite())
            {
                Some(number) => return Some(number),
                None => (
                    "float_parsing",
                    "Input should be a valid number, unable to parse string as a number",
                ),
            },
            _ => ("float_type", "Input should be a valid number"),
        };
        let fault = run.fault(kind, msg, cleaned(input));
        run.refuse(fault)
    }

    fn show(&self, _: &View<'_>) -> Json {
        Json::from(*self)
    }

    fn obeys(&self, rule: &Rule) -> bool {
        rule.allows(*self)
    }
}

impl Field for Text {
    fn read(input: &Json, _: Option<&Json>, run: &mut Reading<'_>) -> Option<Self> {
        match input {
            Json::Text(text) => Some(Self::copy_of(text.expose())),
            _ => {
                let fault = run.fault(
                    "string_type",
                    "Input should be a valid string",
                    cleaned(input),
                );
                run.refuse(fault)
            }
        }
    }

    fn show(&self, _: &View<'_>) -> Json {
        Json::text(self.expose())
    }

    fn obeys(&self, rule: &Rule) -> bool {
        match rule {
            Rule::CharsMin(least) => self.expose().chars().count() >= *least,
            Rule::CharsMax(most) => self.expose().chars().count() <= *most,
            Rule::Match(pattern) => (pattern.fits)(self.expose()),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fernet::Keys;
    use crate::settings::Site;
    use crate::settings::field::Source;

    fn read<T: Field>(input: &str) -> Option<T> {
        let site = Site {
            keys: &Keys::none(),
            now: "",
            log_completions_folder: "",
        };
        let mut run = Reading::new(&site, Source::Request, "body");
        let read = T::read(&Json::parse(input.as_bytes()).unwrap(), None, &mut run);
        assert_eq!(read.is_some(), run.faults.is_empty(), "{input}");
        read
    }

    #[test]
    fn integers_come_in_many_forms() {
        for (input, number) in [
            ("7", 7),
            (r#""7""#, 7),
            (r#"" 5 ""#, 5),
            (r#""+5""#, 5),
            (r#""-5""#, -5),
            (r#""5_0""#, 50),
            (r#""1.0""#, 1),
            ("2.0", 2),
            ("true", 1),
            ("false", 0),
        ] {
            assert_eq!(read::<i64>(input), Some(number), "{input}");
        }
        for input in [
            "2.5",
            r#""1e2""#,
            r#""0x10""#,
            r#""""#,
            r#""_5""#,
            r#""5__0""#,
            "null",
            "[]",
            "1e30",
            r#""1.5""#,
        ] {
            assert_eq!(read::<i64>(input), None, "{input}");
        }
    }

    #[test]
    fn numbers_come_in_many_forms() {
        for (input, number) in [
            ("1.5", 1.5),
            (r#""1.5""#, 1.5),
            (r#"" 2 ""#, 2.0),
            (r#""1e0""#, 1.0),
            ("3", 3.0),
            ("true", 1.0),
        ] {
            assert_eq!(read::<f64>(input), Some(number), "{input}");
        }
        for input in [r#""inf""#, r#""nan""#, r#""hot""#, "null", "{}"] {
            assert_eq!(read::<f64>(input), None, "{input}");
        }
    }

    #[test]
    fn truth_comes_in_many_forms() {
        for input in [
            "true",
            "1",
            "1.0",
            r#""1""#,
            r#""TRUE""#,
            r#""t""#,
            r#""Yes""#,
            r#""y""#,
            r#""on""#,
        ] {
            assert_eq!(read::<bool>(input), Some(true), "{input}");
        }
        for input in [
            "false",
            "0",
            "0.0",
            r#""0""#,
            r#""False""#,
            r#""f""#,
            r#""no""#,
            r#""N""#,
            r#""off""#,
        ] {
            assert_eq!(read::<bool>(input), Some(false), "{input}");
        }
        for input in ["2", "0.5", r#"" true""#, r#""maybe""#, "null", "[]"] {
            assert_eq!(read::<bool>(input), None, "{input}");
        }
    }

    #[test]
    fn a_text_is_a_text() {
        assert!(read::<Text>(r#""x""#).is_some_and(|text| text.is("x")));
        for input in ["5", "true", "null", "[]"] {
            assert!(read::<Text>(input).is_none(), "{input}");
        }
    }
}

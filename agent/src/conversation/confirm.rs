//! Which actions a person has to confirm first. Plain data.

use serde::{Deserialize, Serialize};

use crate::tool::Risk;

/// Who has to confirm what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind")]
pub enum Policy {
    /// Everything waits.
    AlwaysConfirm,
    /// Nothing waits.
    #[default]
    NeverConfirm,
    /// What is at least this dangerous waits.
    ConfirmRisky {
        /// From which danger on.
        #[serde(default = "high")]
        threshold: Risk,
        /// Whether what nobody judged waits, too.
        #[serde(default = "yes")]
        confirm_unknown: bool,
    },
}

fn high() -> Risk {
    Risk::High
}

fn yes() -> bool {
    true
}

impl Policy {
    /// The policy in this JSON. What can't be read confirms everything: better a question too many.
    #[must_use]
    pub fn read(json: &str) -> Self {
        serde_json::from_str(json).unwrap_or(Self::AlwaysConfirm)
    }

    /// Whether something this dangerous waits.
    #[must_use]
    pub fn holds(&self, risk: Risk) -> bool {
        match self {
            Self::AlwaysConfirm => true,
            Self::NeverConfirm => false,
            Self::ConfirmRisky {
                threshold,
                confirm_unknown,
            } => match (risk, threshold) {
                (Risk::Unknown, _) => *confirm_unknown,
                (risk, threshold) => rank(risk) >= rank(*threshold),
            },
        }
    }
}

fn rank(risk: Risk) -> u8 {
    match risk {
        Risk::Unknown => 0,
        Risk::Low => 1,
        Risk::Medium => 2,
        Risk::High => 3,
    }
}

/// Whether the model's own word on the danger of its calls counts: with the analyzer that is the model itself.
/// No other one is here, so that under them everything is unknown.
#[must_use]
pub fn model_judges(analyzer: Option<&str>) -> bool {
    #[derive(Deserialize)]
    struct Analyzer {
        kind: String,
    }
    analyzer
        .and_then(|json| serde_json::from_str::<Analyzer>(json).ok())
        .is_some_and(|analyzer| analyzer.kind == "LLMSecurityAnalyzer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn risky_is_what_reaches_the_threshold() {
        let check = |json: &str, held: [bool; 4]| {
            let risks = [Risk::Unknown, Risk::Low, Risk::Medium, Risk::High];
            assert_eq!(
                risks.map(|risk| Policy::read(json).holds(risk)),
                held,
                "{json}"
            );
        };
        check(r#"{"kind":"AlwaysConfirm"}"#, [true; 4]);
        check(r#"{"kind":"NeverConfirm"}"#, [false; 4]);
        check(r#"{"kind":"ConfirmRisky"}"#, [true, false, false, true]);
        check(
            r#"{"kind":"ConfirmRisky","threshold":"MEDIUM","confirm_unknown":false}"#,
            [false, false, true, true],
        );
        check("null", [true; 4]);
    }

    #[test]
    fn only_one_analyzer_is_the_model() {
        assert!(model_judges(Some(r#"{"kind":"LLMSecurityAnalyzer"}"#)));
        assert!(!model_judges(Some(r#"{"kind":"GraySwanAnalyzer"}"#)));
        assert!(!model_judges(None));
    }
}

//! The smaller bodies.

use super::create::Tags;
use super::{Kinds, Uuid, opaque};
use crate::json::{Json, Text};
use crate::settings::field::{Field, Reading, Rule};
use crate::settings::model::{any_input, any_value, choice, model};
use crate::settings::secret::View;

opaque! {
    /// What judges how dangerous actions are. Those that would ask a service are kept and not asked.
    pub struct Analyzer = Kinds {
        base: "openhands.sdk.security.analyzer.SecurityAnalyzerBase",
        words: &[
            "PatternSecurityAnalyzer", "PolicyRailSecurityAnalyzer", "EnsembleSecurityAnalyzer",
            "GraySwanAnalyzer", "LLMSecurityAnalyzer", "ToolShieldLLMSecurityAnalyzer",
        ],
        absent: None,
    };
}

/// How dangerous an action is.
pub struct Threshold(&'static str);

impl Field for Threshold {
    fn read(input: &Json, _: Option<&Json>, run: &mut Reading<'_>) -> Option<Self> {
        const WORDS: [&str; 4] = ["UNKNOWN", "LOW", "MEDIUM", "HIGH"];
        let word = input
            .as_text()
            .and_then(|text| WORDS.into_iter().find(|word| *word == text));
        if let Some(word) = word {
            return Some(Self(word));
        }
        let expected = crate::settings::model::one_of(&WORDS);
        let fault = run.fault(
            "enum",
            format!("Input should be {expected}"),
            Self::veil(input),
        );
        run.refuse(fault.with("expected", Json::text(&expected)))
    }

    fn show(&self, _: &View<'_>) -> Json {
        Json::text(self.0)
    }
}

choice! { /// The kind of [`Risky`].
pub enum RiskyKind { /// From a risk on.
    Risky = "ConfirmRisky", } }

model! {
    /// A person confirms what is dangerous.
    pub struct Risky { unknown: Dropped, lean: false, before: any_input, after: any_value }
    /// From which risk on.
    threshold: Threshold = { Threshold("HIGH") };
    /// And what nobody judged.
    confirm_unknown: bool = { true };
    /// Which kind it is.
    kind: RiskyKind = { RiskyKind::Risky };
}

/// Which actions wait for a person.
pub enum Policy {
    /// All.
    Always,
    /// None.
    Never,
    /// Dangerous ones.
    Risky(Risky),
}

const POLICIES: Kinds = Kinds {
    base: "openhands.sdk.security.confirmation_policy.ConfirmationPolicyBase",
    words: &["AlwaysConfirm", "ConfirmRisky", "NeverConfirm"],
    absent: None,
};

impl Field for Policy {
    fn read(input: &Json, base: Option<&Json>, run: &mut Reading<'_>) -> Option<Self> {
        let (kind, rest) = POLICIES.read(input, crate::settings::fault::cleaned, run)?;
        match kind {
            "AlwaysConfirm" => Some(Self::Always),
            "NeverConfirm" => Some(Self::Never),
            _ => Risky::read(&rest, base, run).map(Self::Risky),
        }
    }

    fn show(&self, view: &View<'_>) -> Json {
        let mut shown = crate::json::Object::with_capacity(1);
        let kind = match self {
            Self::Risky(risky) => return risky.show(view),
            Self::Always => "AlwaysConfirm",
            Self::Never => "NeverConfirm",
        };
        shown.insert("kind", Json::text(kind));
        shown.into()
    }
}

model! {
    /// The body of `POST .../confirmation_policy`.
    pub struct SetPolicy { unknown: Dropped, lean: false, before: any_input, after: any_value }
    /// The policy.
    policy: Policy = required;
}

model! {
    /// The body of `POST .../security_analyzer`.
    pub struct SetAnalyzer { unknown: Dropped, lean: false, before: any_input, after: any_value }
    /// The analyzer; none when null.
    security_analyzer: Option<Analyzer> = required;
}

model! {
    /// The body of `POST .../events/respond_to_confirmation`.
    pub struct Confirmation { unknown: Dropped, lean: false, before: any_input, after: any_value }
    /// Whether the waiting actions are done.
    accept: bool = required;
    /// Why not.
    reason: Text = { Text::copy_of("User rejected the action.") };
}

model! {
    /// The body of `POST .../ask_agent`.
    pub struct Ask { unknown: Dropped, lean: false, before: any_input, after: any_value }
    /// The question.
    question: Text = required;
}

const TITLE_MIN: Rule = Rule::CharsMin(1);
const TITLE_MAX: Rule = Rule::CharsMax(200);

model! {
    /// The body of `PATCH .../{id}`. What is null stays.
    pub struct Patch { unknown: Dropped, lean: false, before: any_input, after: any_value }
    /// The title.
    title: Option<Text> where [TITLE_MIN, TITLE_MAX] = { None };
    /// All tags.
    tags: Option<Tags> = { None };
}

model! {
    /// The body of `POST .../fork`.
    pub struct Fork { unknown: Dropped, lean: false, before: any_input, after: any_value }
    /// The id of the new one.
    id: Option<Uuid> = { None };
    /// Its title.
    title: Option<Text> where [TITLE_MAX] = { None };
    /// Its tags.
    tags: Option<Tags> = { None };
    /// Whether its figures begin anew.
    reset_metrics: bool = { true };
    /// The newest event that it takes over; all when null.
    from_event_id: Option<Text> = { None };
}

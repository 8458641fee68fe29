//! Makes a long conversation shorter: which events are forgotten, and what a model is asked to write in their place.
//! Plain data; asking is done elsewhere.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::event::{Body, Event};
use super::history::{Place, Seen, text_of};
use super::outfit::{OpenModel, number, whole};
use super::{EventId, Source};
use crate::json::{Json, Object};
use crate::llm::{ConfigError, Llm, Message, Part};
use crate::tool::cut;

/// How a conversation is made shorter.
pub struct Condenser {
    /// Who writes the summary.
    pub llm: Arc<dyn Llm>,
    /// From how many events on.
    pub size_max: usize,
    /// From how many tokens on.
    pub tokens_max: Option<u64>,
    /// How many events at the beginning always stay.
    pub keep_first: usize,
    /// Which part must be forgotten for it to be worth it.
    pub minimum_progress: f64,
    /// How often a summary of everything is tried.
    pub resets: u64,
    /// By how much the events are cut each time.
    pub reset_scaling: f64,
}

/// What is to be forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// These events.
    pub forgotten: BTreeSet<EventId>,
    /// The summary that they replace, if there is one.
    pub summary: Option<String>,
    /// Where the new one goes.
    pub offset: u64,
}

/// Characters of one event that the summary is made from.
pub const EVENT_CHARS: usize = 10_000;

impl Condenser {
    /// Reads a `condenser` object of the contract; `None` where it condenses nothing. Of a pipeline it is the first one
    /// that does.
    ///
    /// # Errors
    /// [`ConfigError`] names what is wrong with its `llm`.
    pub fn read(condenser: &Object, open: OpenModel<'_>) -> Result<Option<Self>, ConfigError> {
        let kind = condenser.get("kind").and_then(Json::as_text);
        if kind == Some("PipelineCondenser") {
            let Some(Json::List(all)) = condenser.get("condensers") else {
                return Ok(None);
            };
            let mut all = all.iter().filter_map(Json::as_object);
            let first = all.find_map(|one| Self::read(one, open).transpose());
            return first.transpose();
        }
        if kind != Some("LLMSummarizingCondenser") {
            return Ok(None);
        }
        let Some(llm) = condenser.get("llm").and_then(Json::as_object) else {
            return Ok(None);
        };
        let count = |name, default: u64| {
            let value = condenser.get(name).and_then(whole).unwrap_or(default);
            usize::try_from(value).unwrap_or(usize::MAX)
        };
        let part = |name, default: f64| {
            let value = condenser.get(name).and_then(number);
            value
                .filter(|part| (0.0..1.0).contains(part))
                .unwrap_or(default)
        };
        Ok(Some(Self {
            llm: open(llm)?,
            size_max: count("max_size", 240),
            tokens_max: condenser.get("max_tokens").and_then(whole),
            keep_first: count("keep_first", 2),
            minimum_progress: part("minimum_progress", 0.1),
            resets: condenser
                .get("hard_context_reset_max_retries")
                .and_then(whole)
                .unwrap_or(5),
            reset_scaling: part("hard_context_reset_context_scaling", 0.8),
        }))
    }

    /// Whether a conversation of so many events, and so many tokens in the newest request, is too long.
    #[must_use]
    pub fn wants(&self, events: usize, tokens: u64) -> bool {
        events > self.size_max || self.tokens_max.is_some_and(|most| tokens > most)
    }

    /// What to forget so that about half is left; `None` when it would be too little to be worth it.
    #[must_use]
    pub fn plan(&self, view: &[Seen]) -> Option<Plan> {
        let most = view.len().min(self.size_max);
        let from = first_seam(view, self.keep_first.min(view.len()), true)?;
        let tail = (most / 2).saturating_sub(self.keep_first).saturating_sub(1);
        let until = first_seam(view, view.len().saturating_sub(tail), false)?;
        let plan = forget(view, from, until)?;
        #[expect(clippy::cast_precision_loss, reason = "counts of events are small")]
        let share = plan.forgotten.len() as f64 / view.len() as f64;
        (share >= self.minimum_progress).then_some(plan)
    }

    /// The plan that leaves nothing but the model's instructions.
    #[must_use]
    pub fn reset(view: &[Seen]) -> Option<Plan> {
        forget(view, 1.min(view.len()), view.len())
    }
}

/// The seam at `at`, or else the nearest one after it (`later`) or before it: where no call is without its result.
fn first_seam(view: &[Seen], at: usize, later: bool) -> Option<usize> {
    let mut open = 0_usize;
    let mut seams = vec![true];
    for seen in view {
        match seen {
            Seen::Event(_, Place::Call) => open += 1,
            Seen::Event(_, Place::Result) => open = open.saturating_sub(1),
            Seen::Event(_, Place::Other) | Seen::Summary(_) => {}
        }
        seams.push(open == 0);
    }
    let is_seam = |at: &usize| seams.get(*at).copied().unwrap_or(false);
    if later {
        (at..=view.len()).find(is_seam)
    } else {
        (0..=at).rev().find(is_seam)
    }
}

fn forget(view: &[Seen], from: usize, until: usize) -> Option<Plan> {
    let range = view.get(from..until)?;
    let forgotten: BTreeSet<_> = range
        .iter()
        .filter_map(|seen| match seen {
            Seen::Event(id, _) => Some(*id),
            Seen::Summary(_) => None,
        })
        .collect();
    // A summary from before is always replaced, wherever it stands.
    let summary = view.iter().find_map(|seen| match seen {
        Seen::Summary(text) => Some(text.clone()),
        Seen::Event(..) => None,
    });
    let before = view.get(..from).unwrap_or_default();
    let offset = before
        .iter()
        .filter(|seen| matches!(seen, Seen::Event(..)))
        .count() as u64;
    (!forgotten.is_empty()).then_some(Plan {
        forgotten,
        summary,
        offset,
    })
}

const ASK: &str = "\
You keep the memory of an agent that works on a task for a user. Its conversation has become too long. The part below \
will be removed, and your text put in its place, so the agent must be able to go on from your text alone.

Write down, as far as it applies:
- GOAL: what the user wants, in the user's words where they matter, with every requirement and later correction.
- STATE: what is done and works, what is half done, what failed and why, what comes next.
- PLACES: files, functions, commands, branches, URLs and identifiers that matter, exactly as written.
- FACTS: decisions with their reasons, results of tests, error messages still unsolved, how the environment behaves.
- TASKS: the current task list with the status of each entry.

Be complete and short. Leave out what no longer matters. Where <secret-hidden> stands, keep it or name the variable; \
never guess a value. Answer with the text alone.";

/// The request for a summary of `events`, with at most `chars` of each.
#[must_use]
pub fn request(previous: Option<&str>, events: &[Event], chars: usize) -> Vec<Message> {
    let mut text = String::new();
    if let Some(previous) = previous {
        text.push_str(&format!(
            "<PREVIOUS SUMMARY>\n{previous}\n</PREVIOUS SUMMARY>\n\n"
        ));
    }
    for event in events {
        if let Some((who, what)) = told(event) {
            let what = cut::to(what, chars);
            text.push_str(&format!("<EVENT {who}>\n{what}\n</EVENT>\n"));
        }
    }
    vec![
        Message::System(vec![Part::text(ASK)]),
        Message::User(vec![Part::text(text)]),
    ]
}

fn told(event: &Event) -> Option<(&'static str, String)> {
    Some(match &event.body {
        Body::Message(message) => {
            let who = match event.source {
                Source::User => "user",
                Source::Agent => "agent",
                Source::Environment => "environment",
            };
            (who, text_of(&message.llm_message.content))
        }
        Body::Action(action) => {
            let thought = text_of(&action.thought);
            let call = &action.tool_call;
            (
                "action",
                format!("{thought}\n{}({})", call.name, call.arguments),
            )
        }
        Body::Observation(seen) => ("result", text_of(&seen.observation.for_model())),
        Body::AgentError(error) => ("error", error.error.clone()),
        Body::UserReject(reject) => ("rejected", reject.rejection_reason.clone()),
        Body::SystemPrompt(_)
        | Body::Pause
        | Body::Interrupt
        | Body::ConversationError(_)
        | Body::StateUpdate(_)
        | Body::ServerError(_)
        | Body::Condensation(_)
        | Body::CondensationRequest
        | Body::CondensationSummary(_)
        | Body::StreamingDelta(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::Scripted;

    fn condenser(size_max: usize, keep_first: usize) -> Condenser {
        Condenser {
            llm: Arc::new(Scripted::new("condenser")),
            size_max,
            tokens_max: Some(1000),
            keep_first,
            minimum_progress: 0.1,
            resets: 5,
            reset_scaling: 0.8,
        }
    }

    /// `o` other, `c` call, `r` result, `s` summary.
    fn view(kinds: &str) -> Vec<Seen> {
        let event = |(at, kind): (usize, char)| {
            let id: EventId = format!("{at:08x}-4567-4abc-8def-0123456789ab")
                .parse()
                .unwrap();
            match kind {
                'c' => Seen::Event(id, Place::Call),
                'r' => Seen::Event(id, Place::Result),
                's' => Seen::Summary("before".to_owned()),
                _ => Seen::Event(id, Place::Other),
            }
        };
        kinds.chars().enumerate().map(event).collect()
    }

    fn check(kinds: &str, size_max: usize, keep_first: usize, forgotten: Option<&[u64]>) {
        let plan = condenser(size_max, keep_first).plan(&view(kinds));
        let found = plan.map(|plan| {
            plan.forgotten
                .iter()
                .map(|id| id.place())
                .collect::<Vec<_>>()
        });
        assert_eq!(found.as_deref(), forgotten, "{kinds}");
    }

    #[test]
    fn forgets_the_middle_and_parts_no_call_from_its_result() {
        check("oooooooooo", 10, 2, Some(&[2, 3, 4, 5, 6, 7]));
        check("oocrcrcrcr", 10, 2, Some(&[2, 3, 4, 5, 6, 7]));
        check("ocrcrcrcro", 10, 2, Some(&[3, 4, 5, 6]));
        check("occccrrrro", 10, 2, None);
        check("oo", 10, 2, None);
    }

    #[test]
    fn a_new_summary_stands_where_the_old_one_stood() {
        let plan = condenser(10, 2).plan(&view("oosooooooo")).unwrap();
        assert_eq!((plan.offset, plan.summary.as_deref()), (2, Some("before")));
        let all = Condenser::reset(&view("oosocr")).unwrap();
        assert_eq!((all.offset, all.forgotten.len()), (1, 4));
    }

    #[test]
    fn of_a_pipeline_the_first_that_condenses_counts() {
        let read = |text: &str| {
            let json = Json::parse(text.as_bytes()).unwrap();
            let open = |_: &Object| Ok::<Arc<dyn Llm>, _>(Arc::new(Scripted::new("condenser")));
            Condenser::read(json.as_object().unwrap(), &open).unwrap()
        };
        let one = r#"{"kind":"LLMSummarizingCondenser","llm":{},"max_size":30}"#;
        let none = r#"{"kind":"NoOpCondenser"}"#;
        let pipeline =
            |all: &str| format!(r#"{{"kind":"PipelineCondenser","condensers":[{all}]}}"#);
        let found = read(&pipeline(&format!("{none},{}", pipeline(one))));
        assert_eq!(found.unwrap().size_max, 30);
        assert!(read(&pipeline(none)).is_none());
    }

    #[test]
    fn is_wanted_beyond_either_bound() {
        let condenser = condenser(80, 4);
        assert!(!condenser.wants(80, 1000));
        assert!(condenser.wants(81, 0) && condenser.wants(0, 1001));
    }
}

//! What changes of a conversation, apart from its log: plain data without a secret, small, copied at each commit.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::{EventId, Id, Moment, Raw, Status};
use crate::llm::{Figures, Metrics, Spent};

/// What changes of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// What it is doing. Changed by [`Draft::status`](super::Draft::status), which tells clients.
    pub status: Status,
    /// Its title.
    pub title: Option<String>,
    /// Whether a title was asked for.
    pub title_asked: bool,
    /// Whatever its client keeps with it.
    pub tags: IndexMap<String, String>,
    /// Which actions wait for a person: an object with `kind`.
    pub confirmation_policy: Raw,
    /// What judges how dangerous actions are: an object with `kind`, or null.
    pub security_analyzer: Raw,
    /// Tokens, cost and time.
    pub stats: Stats,
    /// When it was made: UTC, as [`settings::now`](crate::settings::now) writes it.
    pub created_at: String,
    /// When it last changed. Kept by the journal.
    pub updated_at: String,
    /// The newest message of the person.
    pub last_user_message: Option<EventId>,
    /// The newest event that others follow. Kept by the journal.
    pub leaf: Option<EventId>,
    /// The newest message of the agent, or its newest finish action. Kept by the journal.
    pub answer: Option<EventId>,
    /// The newest condensation. Kept by the journal.
    pub condensation: Option<EventId>,
    /// The time of the newest event. Kept by the journal.
    pub newest: Moment,
    /// Steps of the run that goes on, or was the last.
    pub iterations: u64,
    /// Whether the model's instructions are in the log.
    pub prompted: bool,
    /// The actions that wait for a person.
    pub waiting: Vec<EventId>,
    /// Actions that hooks refused: reasons by event.
    pub blocked_actions: IndexMap<String, String>,
    /// Messages that hooks refused: reasons by event.
    pub blocked_messages: IndexMap<String, String>,
    /// Skills that the person's words brought up.
    pub activated_knowledge_skills: Vec<String>,
    /// Skills that the agent used.
    pub invoked_skills: Vec<String>,
    /// Where it was forked from.
    pub forked: Option<Origin>,
    /// The conversation that started it.
    pub parent_conversation: Option<Id>,
}

/// Where a conversation was forked from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The other conversation.
    pub conversation: Id,
    /// Its newest event that was taken over, if the client named it.
    pub event: Option<EventId>,
}

/// Tokens, cost and time by usage id.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    usage_to_metrics: IndexMap<String, Metrics>,
}

impl Stats {
    /// Adds one answered request of `model`; `window` is its context window, 0 where it is unknown.
    pub fn add(&mut self, usage_id: &str, model: &str, spent: &Spent, window: u64) {
        self.entry(usage_id, model).add(spent, window);
    }

    /// Shows `usage_id` with no figures yet, unless there are some.
    pub fn entry(&mut self, usage_id: &str, model: &str) -> &mut Metrics {
        let metrics = self.usage_to_metrics.entry(usage_id.to_owned());
        metrics.or_insert_with(|| Metrics::new(model))
    }

    /// The figures of one usage id.
    #[must_use]
    pub fn of(&self, usage_id: &str) -> Option<&Metrics> {
        self.usage_to_metrics.get(usage_id)
    }

    /// The figures of each usage id.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Metrics)> {
        let all = self.usage_to_metrics.iter();
        all.map(|(usage_id, metrics)| (usage_id.as_str(), metrics))
    }

    /// The sum of all costs, in US dollars.
    #[must_use]
    pub fn cost(&self) -> f64 {
        self.usage_to_metrics.values().map(Metrics::cost).sum()
    }

    /// As `stats` events carry them: without the figures of single requests.
    #[must_use]
    pub fn brief(&self) -> Raw {
        Raw::of(self)
    }

    /// The same with the figures of these requests.
    #[must_use]
    pub fn with(&self, requests: &[Figures]) -> Raw {
        #[derive(Serialize)]
        struct Whole<T: Serialize> {
            usage_to_metrics: IndexMap<String, T>,
        }
        let all = self.iter().map(|(usage_id, metrics)| {
            let own = requests.iter().filter(|one| one.usage_id() == usage_id);
            let own: Vec<_> = own.collect();
            (usage_id.to_owned(), Raw::of(&metrics.with(&own)))
        });
        Raw::of(&Whole {
            usage_to_metrics: all.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::llm::Usage;

    #[test]
    fn comes_back_as_it_was_and_an_older_one_too() {
        let mut state = State {
            status: Status::Paused,
            title: Some("A title".to_owned()),
            confirmation_policy: Raw::of(&serde_json::json!({"kind": "NeverConfirm"})),
            leaf: Some(EventId::at(3, 5)),
            newest: Moment::now(),
            ..State::default()
        };
        let spent = Spent {
            response_id: "r".to_owned(),
            usage: Usage {
                prompt: 20,
                ..Usage::default()
            },
            cost: 0.25,
            latency: Duration::from_secs(1),
            at: UNIX_EPOCH,
        };
        state.stats.add("default", "m", &spent, 1000);
        state.stats.add("default", "m", &spent, 1000);
        state.stats.entry("condenser", "m");
        state.tags.insert("z".to_owned(), "1".to_owned());
        state.tags.insert("a".to_owned(), "2".to_owned());
        let json = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<State>(&json).unwrap(), state);
        assert!(json.contains(r#""tags":{"z":"1","a":"2"}"#), "{json}");
        assert_eq!(
            serde_json::from_str::<State>("{}").unwrap(),
            State::default()
        );
        assert!((state.stats.cost() - 0.5).abs() < 1e-12);
        let brief = state.stats.brief();
        let start = r#"{"usage_to_metrics":{"default":{"model_name":"m","accumulated_cost":0.5,"max_budget_per_task":null,"#;
        assert!(brief.as_str().starts_with(start), "{brief:?}");
        assert!(!brief.as_str().contains("costs"), "{brief:?}");
        let figures = Figures::of("default", "m", &spent, 1000);
        let whole: serde_json::Value = state.stats.with(&[figures]).read().unwrap();
        let of = |usage_id: &str| whole["usage_to_metrics"][usage_id]["costs"].clone();
        assert_eq!(of("default")[0]["cost"], 0.25);
        assert_eq!(of("condenser"), serde_json::json!([]));
        assert_eq!(state.stats.iter().count(), 2);
    }
}

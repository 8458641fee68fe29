//! Tokens, cost and time of requests, per usage id. Pure data.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// The tokens of one request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// All tokens of the request, those of the cache included.
    pub prompt: u64,
    /// All tokens of the answer, thoughts included.
    pub completion: u64,
    /// Tokens of the prompt that came from the provider's cache.
    pub cache_read: u64,
    /// Tokens of the prompt that went into the provider's cache.
    pub cache_write: u64,
    /// Tokens of the answer that were thoughts.
    pub reasoning: u64,
}

impl Usage {
    /// Tokens of the request and of the answer together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.prompt.saturating_add(self.completion)
    }
}

/// The running figures of one usage id: sums alone, so that they stay small however many requests there are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    model_name: String,
    accumulated_cost: f64,
    max_budget_per_task: Option<f64>,
    accumulated_token_usage: Tokens,
}

/// The figures of one answered request, as they are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    usage_id: String,
    cost: f64,
    timestamp: f64,
    latency: f64,
    tokens: Tokens,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Tokens {
    model: String,
    prompt_tokens: u64,
    completion_tokens: u64,
    cache_read_tokens: u64,
    cache_write_tokens: u64,
    reasoning_tokens: u64,
    context_window: u64,
    per_turn_token: u64,
    response_id: String,
}

/// The figures of one answered request.
#[derive(Debug, Clone, PartialEq)]
pub struct Spent {
    /// The provider's id of the answer.
    pub response_id: String,
    /// Its tokens.
    pub usage: Usage,
    /// Its cost in US dollars; 0 where no price is known.
    pub cost: f64,
    /// From the first byte sent of the attempt that was answered to the last byte of the answer.
    pub latency: Duration,
    /// When it was answered.
    pub at: SystemTime,
}

impl Figures {
    /// Those of a request of `model`; `window` is its context window, 0 where it is unknown.
    #[must_use]
    pub fn of(usage_id: &str, model: &str, spent: &Spent, window: u64) -> Self {
        let at = spent.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            usage_id: usage_id.to_owned(),
            cost: spent.cost,
            timestamp: at.as_secs_f64(),
            latency: spent.latency.as_secs_f64(),
            tokens: Tokens::of(model, &spent.usage, window, &spent.response_id),
        }
    }

    /// Whose request it was.
    #[must_use]
    pub fn usage_id(&self) -> &str {
        &self.usage_id
    }
}

impl Metrics {
    /// Figures of nothing yet, for the model of that name (as in the settings, with its prefix).
    #[must_use]
    pub fn new(model: &str) -> Self {
        Self {
            model_name: model.to_owned(),
            accumulated_cost: 0.0,
            max_budget_per_task: None,
            accumulated_token_usage: Tokens::of(model, &Usage::default(), 0, ""),
        }
    }

    /// Adds one answered request; `window` is the model's context window, 0 where it is unknown.
    pub fn add(&mut self, spent: &Spent, window: u64) {
        let usage = &spent.usage;
        if spent.cost > 0.0 {
            self.accumulated_cost += spent.cost;
        }
        let sum = &mut self.accumulated_token_usage;
        sum.prompt_tokens = sum.prompt_tokens.saturating_add(usage.prompt);
        sum.completion_tokens = sum.completion_tokens.saturating_add(usage.completion);
        sum.cache_read_tokens = sum.cache_read_tokens.saturating_add(usage.cache_read);
        sum.cache_write_tokens = sum.cache_write_tokens.saturating_add(usage.cache_write);
        sum.reasoning_tokens = sum.reasoning_tokens.saturating_add(usage.reasoning);
        sum.context_window = sum.context_window.max(window);
        sum.per_turn_token = usage.total();
    }

    /// The sum of all costs, in US dollars.
    #[must_use]
    pub fn cost(&self) -> f64 {
        self.accumulated_cost
    }

    /// Tokens of the newest request and its answer: what the next prompt will hold at least.
    #[must_use]
    pub fn newest_tokens(&self) -> u64 {
        self.accumulated_token_usage.per_turn_token
    }

    /// In the shape of `stats.usage_to_metrics`, with the figures of these requests.
    #[must_use]
    pub fn with<'a>(&'a self, requests: &[&'a Figures]) -> impl Serialize + 'a {
        let costly = requests.iter().filter(|request| request.cost > 0.0);
        With {
            sums: self,
            costs: costly
                .map(|request| Cost {
                    model: &request.tokens.model,
                    cost: request.cost,
                    timestamp: request.timestamp,
                })
                .collect(),
            response_latencies: requests
                .iter()
                .map(|request| Latency {
                    model: &request.tokens.model,
                    latency: request.latency,
                    response_id: &request.tokens.response_id,
                })
                .collect(),
            token_usages: requests.iter().map(|request| &request.tokens).collect(),
        }
    }
}

#[derive(Serialize)]
struct With<'a> {
    #[serde(flatten)]
    sums: &'a Metrics,
    costs: Vec<Cost<'a>>,
    response_latencies: Vec<Latency<'a>>,
    token_usages: Vec<&'a Tokens>,
}

#[derive(Serialize)]
struct Cost<'a> {
    model: &'a str,
    cost: f64,
    timestamp: f64,
}

#[derive(Serialize)]
struct Latency<'a> {
    model: &'a str,
    latency: f64,
    response_id: &'a str,
}

impl Tokens {
    fn of(model: &str, usage: &Usage, window: u64, response_id: &str) -> Self {
        Self {
            model: model.to_owned(),
            prompt_tokens: usage.prompt,
            completion_tokens: usage.completion,
            cache_read_tokens: usage.cache_read,
            cache_write_tokens: usage.cache_write,
            reasoning_tokens: usage.reasoning,
            context_window: window,
            per_turn_token: usage.total(),
            response_id: response_id.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spent(prompt: u64, completion: u64, cache_read: u64, cost: f64) -> Spent {
        Spent {
            response_id: "chatcmpl-1".to_owned(),
            usage: Usage {
                prompt,
                completion,
                cache_read,
                ..Usage::default()
            },
            cost,
            latency: Duration::from_millis(1500),
            at: UNIX_EPOCH + Duration::from_secs(7),
        }
    }

    #[test]
    fn adds_up_as_the_contract_shows() {
        let mut metrics = Metrics::new("openai/gpt-4o");
        let requests = [
            spent(20, 4, 0, 9e-5),
            spent(1000, 100, 0, 0.0035),
            spent(1000, 100, 400, 0.003),
        ];
        let figures = requests.map(|request| {
            metrics.add(&request, 128_000);
            Figures::of("default", "openai/gpt-4o", &request, 128_000)
        });
        let json = serde_json::to_value(metrics.with(&figures.each_ref())).unwrap();
        assert!((metrics.cost() - 0.00659).abs() < 1e-12);
        assert_eq!(
            json["accumulated_token_usage"],
            serde_json::json!({"model": "openai/gpt-4o", "prompt_tokens": 2020, "completion_tokens": 204,
                "cache_read_tokens": 400, "cache_write_tokens": 0, "reasoning_tokens": 0,
                "context_window": 128_000, "per_turn_token": 1100, "response_id": ""})
        );
        assert_eq!(json["max_budget_per_task"], serde_json::Value::Null);
        assert_eq!(
            json["costs"][0],
            serde_json::json!({"model": "openai/gpt-4o", "cost": 9e-5, "timestamp": 7.0})
        );
        assert_eq!(json["response_latencies"][2]["latency"], 1.5);
        assert_eq!(json["token_usages"][2]["cache_read_tokens"], 400);
        let brief = serde_json::to_value(&metrics).unwrap();
        assert_eq!(
            brief["accumulated_token_usage"],
            json["accumulated_token_usage"]
        );
        assert_eq!(brief.as_object().unwrap().len(), 4);
    }

    #[test]
    fn what_costs_nothing_leaves_no_cost() {
        let mut metrics = Metrics::new("made-up");
        let request = spent(20, 4, 0, 0.0);
        metrics.add(&request, 0);
        let figures = Figures::of("default", "made-up", &request, 0);
        let json = serde_json::to_value(metrics.with(&[&figures])).unwrap();
        assert_eq!(json["costs"], serde_json::json!([]));
        assert_eq!(json["token_usages"].as_array().unwrap().len(), 1);
        let again = serde_json::to_vec(&figures).unwrap();
        assert_eq!(serde_json::from_slice::<Figures>(&again).unwrap(), figures);
    }
}

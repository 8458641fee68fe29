//! What goes into a model's requests, resolved once from its settings and what is known about it. Pure data.

use super::config::Config;
use super::failure::Failure;
use super::names::{Family, Protocol, Route};
use super::prices::{Model, Owner};

/// Output tokens asked for where neither settings nor table know a limit, yet the protocol wants one.
const OUTPUT_TOKENS_UNKNOWN: u64 = 16_384;
/// Output tokens asked for at most behind a base URL: what is there may be less than the model's maker gives.
const OUTPUT_TOKENS_ELSEWHERE: u64 = 16_384;
/// The smallest budget for thoughts that Anthropic takes.
const THOUGHT_TOKENS_MIN: u64 = 1024;

/// How much a Claude model thinks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thinking {
    /// Not at all, or as its server decides.
    Unsaid,
    /// Up to this many tokens.
    Budget(u64),
    /// As it finds right.
    Adaptive,
}

/// The resolved shape of a model's requests.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    pub(crate) route: Route,
    /// Tokens of the context window; 0 where unknown.
    pub(crate) window: u64,
    pub(crate) max_output: Option<u64>,
    pub(crate) temperature: Option<f64>,
    pub(crate) top_p: Option<f64>,
    pub(crate) top_k: Option<f64>,
    pub(crate) seed: Option<i64>,
    pub(crate) effort: Option<String>,
    pub(crate) summary: Option<String>,
    pub(crate) thinking: Thinking,
    /// Whether thoughts may stand between tool calls (a beta header of Anthropic's).
    pub(crate) interleaved: bool,
    /// Whether sealed thoughts are asked for, so that they can go back.
    pub(crate) sealed_thoughts: bool,
    pub(crate) claude: bool,
    /// Whether parts are marked for the provider's cache.
    pub(crate) marks: bool,
    /// Whether requests carry the conversation's id as the key of the provider's cache.
    pub(crate) cache_key: bool,
    pub(crate) retention: Option<String>,
    pub(crate) sees: bool,
    /// Whether content is one text instead of a list of parts.
    pub(crate) strings: bool,
    /// Whether plain thoughts go back to the model.
    pub(crate) echoes_thoughts: bool,
    /// Whether tools are described to the provider, or in the prompt.
    pub(crate) native_tools: bool,
}

impl Plan {
    /// # Errors
    /// Those of [`Route::find`].
    pub(crate) fn of(config: &Config) -> Result<Self, Failure> {
        let route = Route::find(config)?;
        let known = route.known;
        let name = config.model.to_ascii_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| name.contains(word));
        let claude = known.map_or(name.contains("claude"), |model| {
            model.owner == Owner::Anthropic
        });
        let openai = match known {
            Some(model) => model.owner == Owner::OpenAi,
            None => route.family == Family::OpenAi,
        };
        let reasons = known.map_or(route.family == Family::OpenAi, |model| model.reasons);
        let google = known.is_some_and(|model| model.owner == Owner::Google);
        let compatible = route.family == Family::Compatible;

        let max_output = max_output(config, &route, &name);
        let effort = config
            .reasoning_effort
            .clone()
            .filter(|_| match compatible {
                true => google || name.starts_with("openrouter/"),
                false => reasons,
            });
        let thinking = thinking(
            config,
            known.filter(|_| claude),
            effort.as_deref(),
            max_output,
            &name,
        );
        let samples = google || compatible || !(reasons || openai);
        let calm = route.protocol == Protocol::Responses
            && (!reasons || effort.as_deref() == Some("none"));
        Ok(Self {
            window: config
                .max_input_tokens
                .or(known.map(|model| model.window))
                .unwrap_or(0),
            temperature: config.temperature.filter(|_| samples || calm),
            top_p: config.top_p.filter(|_| samples),
            top_k: config.top_k.filter(|_| samples),
            seed: config.seed,
            summary: config.reasoning_summary.clone().filter(|_| reasons),
            interleaved: matches!(thinking, Thinking::Budget(_)) && interleaves(&name),
            sealed_thoughts: config.enable_encrypted_reasoning && reasons,
            marks: config.caching_prompt && claude,
            cache_key: openai && !compatible,
            retention: config
                .prompt_cache_retention
                .clone()
                .filter(|_| !compatible && says(&["gpt-5", "gpt-4.1"]))
                .filter(|_| !says(&["mini"]) || says(&["gpt-5.1-codex-mini"])),
            sees: !config.disable_vision && known.is_some_and(|model| model.sees),
            strings: config.force_string_serializer.unwrap_or_else(|| {
                says(&[
                    "glm",
                    "deepseek-v3.2",
                    "groq/kimi-k2-instruct",
                    "openrouter/minimax",
                ]) || name.starts_with("mistral/")
                    || name.starts_with("deepseek/")
            }),
            echoes_thoughts: says(&[
                "kimi-k3",
                "kimi-k2-thinking",
                "kimi-k2.5",
                "kimi-k2.6",
                "openrouter/minimax-m2",
                "deepseek-reasoner",
                "deepseek-v4",
            ]),
            native_tools: config.native_tool_calling,
            route,
            max_output,
            effort,
            thinking,
            claude,
        })
    }
}

fn max_output(config: &Config, route: &Route, name: &str) -> Option<u64> {
    if config.max_output_tokens.is_some() {
        return config.max_output_tokens;
    }
    if ["claude-3-7-sonnet", "claude-sonnet-4", "kimi-k2-thinking"]
        .iter()
        .any(|model| name.contains(model))
    {
        return Some(64_000);
    }
    let Some(model) = route.known else {
        return (route.protocol == Protocol::Messages).then_some(OUTPUT_TOKENS_UNKNOWN);
    };
    let window = config.max_input_tokens.unwrap_or(model.window);
    // An answer as long as the window would leave no room for the question.
    let output = if model.output >= window {
        model.output / 2
    } else {
        model.output
    };
    let elsewhere = config.base_url.is_some() && !name.starts_with("litellm_proxy/");
    Some(if elsewhere {
        output.min(OUTPUT_TOKENS_ELSEWHERE)
    } else {
        output
    })
}

fn thinking(
    config: &Config,
    claude: Option<&Model>,
    effort: Option<&str>,
    max_output: Option<u64>,
    name: &str,
) -> Thinking {
    let Some(model) = claude.filter(|model| model.reasons) else {
        return Thinking::Unsaid;
    };
    let wanted = match effort {
        _ if model.adapts => {
            return match effort {
                None | Some("none") => Thinking::Unsaid,
                Some(_) => Thinking::Adaptive,
            };
        }
        _ if interleaves(name) => config.extended_thinking_budget,
        None | Some("none") => 0,
        Some("minimal" | "low") => 1024,
        Some("medium") => 2048,
        Some(_) => 4096,
    };
    let room = max_output.unwrap_or(0).saturating_sub(1);
    match wanted.min(room) {
        0..THOUGHT_TOKENS_MIN => Thinking::Unsaid,
        tokens => Thinking::Budget(tokens),
    }
}

/// The Claude models that think by a budget of their own and gain by thinking between tool calls.
fn interleaves(name: &str) -> bool {
    ["claude-sonnet-4-5", "claude-haiku-4-5"]
        .iter()
        .any(|model| name.contains(model))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(model: &str, change: impl FnOnce(&mut Config)) -> Plan {
        let mut config = Config::new(model);
        config.base_url = Some("http://h/v1".to_owned());
        change(&mut config);
        Plan::of(&config).unwrap()
    }

    fn check(model: &str, max_output: Option<u64>, effort: Option<&str>, thinking: Thinking) {
        let plan = plan(model, |_| {});
        let found = (plan.max_output, plan.effort.as_deref(), plan.thinking);
        assert_eq!(found, (max_output, effort, thinking), "{model}");
    }

    #[test]
    fn limits_effort_and_thoughts_follow_the_model() {
        let high = Some("high");
        check("openai/gpt-4o", Some(16_384), None, Thinking::Unsaid);
        check("gpt-5.5", Some(16_384), high, Thinking::Unsaid);
        check("openai/made-up", None, high, Thinking::Unsaid);
        check("litellm_proxy/made-up", None, None, Thinking::Unsaid);
        check(
            "litellm_proxy/gpt-4.1",
            Some(32_768),
            None,
            Thinking::Unsaid,
        );
        check(
            "litellm_proxy/claude-opus-4-5",
            Some(64_000),
            high,
            Thinking::Budget(4096),
        );
        check(
            "claude-sonnet-4-5-20250929",
            Some(64_000),
            high,
            Thinking::Budget(63_999),
        );
        check(
            "claude-haiku-4-5",
            Some(16_384),
            high,
            Thinking::Budget(16_383),
        );
        check(
            "claude-opus-4-5",
            Some(16_384),
            high,
            Thinking::Budget(4096),
        );
        check("claude-opus-4-6", Some(16_384), high, Thinking::Adaptive);
        check("claude-sonnet-4-6", Some(64_000), high, Thinking::Adaptive);
        check(
            "anthropic/claude-of-tomorrow",
            Some(16_384),
            None,
            Thinking::Unsaid,
        );
        check(
            "mistral/devstral-medium",
            Some(16_384),
            None,
            Thinking::Unsaid,
        );
        check("openrouter/x/y", None, high, Thinking::Unsaid);
        assert_eq!(
            plan("gpt-5.5", |config| config.base_url = None).max_output,
            Some(128_000)
        );
        assert_eq!(
            plan("litellm_proxy/kimi-k3", |_| {}).max_output,
            Some(524_288)
        );
    }

    #[test]
    fn thoughts_need_room_and_can_be_switched_off() {
        let thinking = |model, change: fn(&mut Config)| plan(model, change).thinking;
        assert_eq!(
            thinking("claude-haiku-4-5", |c| c.max_output_tokens = Some(9000)),
            Thinking::Budget(8999)
        );
        assert_eq!(
            thinking("claude-haiku-4-5", |c| c.max_output_tokens = Some(500)),
            Thinking::Unsaid
        );
        assert_eq!(
            thinking("claude-haiku-4-5", |c| c.extended_thinking_budget = 0),
            Thinking::Unsaid
        );
        assert_eq!(
            thinking("claude-opus-5", |c| c.reasoning_effort = None),
            Thinking::Unsaid
        );
        assert_eq!(
            thinking("claude-opus-5", |c| c.reasoning_effort =
                Some("none".into())),
            Thinking::Unsaid
        );
        assert_eq!(
            thinking("claude-opus-4-5", |c| c.reasoning_effort =
                Some("low".into())),
            Thinking::Budget(1024)
        );
    }

    #[test]
    fn temperature_goes_only_where_it_is_taken() {
        let temperature = |model| plan(model, |config| config.temperature = Some(0.3)).temperature;
        assert_eq!(temperature("openai/gpt-4o"), None);
        assert_eq!(temperature("openai/made-up"), None);
        assert_eq!(temperature("claude-opus-5"), None);
        assert_eq!(temperature("gpt-5.5"), None);
        assert_eq!(temperature("gpt-4.1"), Some(0.3));
        assert_eq!(temperature("litellm_proxy/made-up"), Some(0.3));
        assert_eq!(temperature("litellm_proxy/gemini-2.5-pro"), Some(0.3));
        assert_eq!(temperature("deepseek/deepseek-chat"), Some(0.3));
    }

    #[test]
    fn caches_are_used_as_each_provider_wants() {
        let check = |model, marks, key, retention| {
            let plan = plan(model, |_| {});
            let found = (plan.marks, plan.cache_key, plan.retention.is_some());
            assert_eq!(found, (marks, key, retention), "{model}");
        };
        check("openai/gpt-4o", false, true, false);
        check("litellm_proxy/gpt-4o", false, true, false);
        check("litellm_proxy/made-up", false, false, false);
        check("openai/made-up", false, true, false);
        check("gpt-5.5", false, true, true);
        check("gpt-5-mini", false, true, false);
        check("gpt-5.1-codex-mini", false, true, true);
        check("gpt-4.1", false, true, true);
        check("claude-opus-5", true, false, false);
        check("openhands/claude-opus-5", true, false, false);
        check("gemini/gemini-2.5-pro", false, false, false);
        check("openrouter/openai/gpt-5.5", false, false, false);
    }
}

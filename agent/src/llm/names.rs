//! From a model's name and base URL to where and how it is asked. Pure data.
//!
//! Names are LiteLLM's: `PROVIDER/MODEL`, or a bare name of OpenAI's or Anthropic's models.

use super::config::{ApiMode, Config};
use super::failure::{Failure, FailureKind};
use super::prices::{Model, Owner};

/// How a provider is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// OpenAI's chat completions, which most others understand.
    Chat,
    /// OpenAI's responses.
    Responses,
    /// Anthropic's messages.
    Messages,
}

/// What stands behind a provider's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    OpenAi,
    Anthropic,
    /// A LiteLLM proxy: it takes every model in OpenAI's form and maps the rest itself.
    Proxy,
    /// Something else that understands chat completions.
    Compatible,
}

/// Where and how a model is asked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Route {
    pub(crate) protocol: Protocol,
    pub(crate) family: Family,
    /// The name that goes to the wire.
    pub(crate) model: String,
    /// What is known about it.
    pub(crate) known: Option<&'static Model>,
    /// The whole URL.
    pub(crate) url: String,
    /// What its errors are called.
    pub(crate) label: &'static str,
}

struct Provider {
    prefix: &'static str,
    family: Family,
    base: Option<&'static str>,
    label: &'static str,
}

const fn provider(
    prefix: &'static str,
    family: Family,
    base: Option<&'static str>,
    label: &'static str,
) -> Provider {
    Provider {
        prefix,
        family,
        base,
        label,
    }
}

const OPENAI: Provider = provider(
    "openai",
    Family::OpenAi,
    Some("https://api.openai.com/v1"),
    "OpenAIException",
);
const ANTHROPIC: Provider = provider(
    "anthropic",
    Family::Anthropic,
    Some("https://api.anthropic.com"),
    "AnthropicException",
);

#[rustfmt::skip]
static PROVIDERS: &[Provider] = &[
    OPENAI,
    ANTHROPIC,
    provider("litellm_proxy", Family::Proxy, None, "Litellm_proxyException"),
    provider("openhands", Family::Proxy, Some("https://llm-proxy.app.all-hands.dev"), "Litellm_proxyException"),
    provider("openrouter", Family::Compatible, Some("https://openrouter.ai/api/v1"), "OpenrouterException"),
    provider("gemini", Family::Compatible, Some("https://generativelanguage.googleapis.com/v1beta/openai"), "GeminiException"),
    provider("deepseek", Family::Compatible, Some("https://api.deepseek.com/v1"), "DeepseekException"),
    provider("mistral", Family::Compatible, Some("https://api.mistral.ai/v1"), "MistralException"),
    provider("moonshot", Family::Compatible, Some("https://api.moonshot.ai/v1"), "MoonshotException"),
    provider("zai", Family::Compatible, Some("https://api.z.ai/api/paas/v4"), "ZaiException"),
    provider("minimax", Family::Compatible, Some("https://api.minimax.io/v1"), "MinimaxException"),
    provider("dashscope", Family::Compatible, Some("https://dashscope-intl.aliyuncs.com/compatible-mode/v1"), "DashscopeException"),
    provider("xai", Family::Compatible, Some("https://api.x.ai/v1"), "XaiException"),
    provider("groq", Family::Compatible, Some("https://api.groq.com/openai/v1"), "GroqException"),
    provider("together_ai", Family::Compatible, Some("https://api.together.xyz/v1"), "Together_aiException"),
    provider("fireworks_ai", Family::Compatible, Some("https://api.fireworks.ai/inference/v1"), "Fireworks_aiException"),
    provider("hosted_vllm", Family::Compatible, None, "Hosted_vllmException"),
    provider("lm_studio", Family::Compatible, None, "Lm_studioException"),
];

impl Route {
    /// The route of the settings' model.
    ///
    /// # Errors
    /// [`FailureKind::BadRequest`] if the provider cannot be told from the name, or has no address.
    pub(crate) fn find(config: &Config) -> Result<Self, Failure> {
        let (provider, name) = provider_of(&config.model)?;
        let known = Model::find(name.rsplit('/').next().unwrap_or(name));
        let protocol = match provider.family {
            Family::Anthropic => Protocol::Messages,
            Family::Compatible => Protocol::Chat,
            // Tools that are described in the prompt need stop words, which responses do not have.
            _ if !config.native_tool_calling => Protocol::Chat,
            Family::OpenAi | Family::Proxy => match config.api_mode {
                ApiMode::Chat => Protocol::Chat,
                ApiMode::Responses => Protocol::Responses,
                ApiMode::Auto if responds(name, known) => Protocol::Responses,
                ApiMode::Auto => Protocol::Chat,
            },
        };
        let base = config
            .base_url
            .as_deref()
            .or(provider.base)
            .ok_or_else(|| {
                Failure::new(
                    FailureKind::BadRequest,
                    format!(
                        "Models named {}/... need llm.base_url, the address of their server.",
                        provider.prefix
                    ),
                )
            })?;
        let path = match protocol {
            Protocol::Chat => "chat/completions",
            Protocol::Responses => "responses",
            Protocol::Messages => "v1/messages",
        };
        Ok(Self {
            protocol,
            family: provider.family,
            model: name.to_owned(),
            known,
            url: format!("{}/{path}", base.trim_end_matches('/')),
            label: provider.label,
        })
    }
}

fn provider_of(name: &str) -> Result<(&'static Provider, &str), Failure> {
    if let Some((prefix, rest)) = name.split_once('/') {
        let named = PROVIDERS.iter().find(|provider| provider.prefix == prefix);
        if let Some(provider) = named.filter(|_| !rest.is_empty()) {
            return Ok((provider, rest));
        }
    } else {
        match Model::find(name).map(|model| model.owner) {
            Some(Owner::OpenAi) => return Ok((&OPENAI, name)),
            Some(Owner::Anthropic) => return Ok((&ANTHROPIC, name)),
            _ => {}
        }
    }
    let prefixes: Vec<&str> = PROVIDERS.iter().map(|provider| provider.prefix).collect();
    Err(Failure::new(
        FailureKind::BadRequest,
        format!(
            "litellm.BadRequestError: LLM Provider NOT provided. Pass in the LLM provider you are trying to call. \
             You passed model={name}\n Name it as PROVIDER/MODEL, where PROVIDER is one of {}; for any other server \
             that understands OpenAI's chat completions, use openai/MODEL and llm.base_url.",
            prefixes.join(", ")
        ),
    ))
}

fn responds(name: &str, known: Option<&Model>) -> bool {
    match known {
        Some(model) => model.owner == Owner::OpenAi && model.responds,
        None => ["gpt-5", "gpt-6", "codex-mini-latest"]
            .iter()
            .any(|family| name.contains(family)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(model: &str, base: Option<&str>) -> Result<Route, Failure> {
        let mut config = Config::new(model);
        config.base_url = base.map(str::to_owned);
        Route::find(&config)
    }

    fn check(model: &str, base: &str, url: &str, wire: &str) {
        let route = route(model, Some(base)).unwrap();
        assert_eq!((route.url.as_str(), route.model.as_str()), (url, wire));
    }

    #[test]
    fn names_lead_where_the_contract_says() {
        check(
            "openai/gpt-4o",
            "http://h/v1",
            "http://h/v1/chat/completions",
            "gpt-4o",
        );
        check(
            "openai/gpt-4o",
            "http://h",
            "http://h/chat/completions",
            "gpt-4o",
        );
        check(
            "openai/gpt-4o",
            "http://h/v1/",
            "http://h/v1/chat/completions",
            "gpt-4o",
        );
        check(
            "gpt-4o",
            "http://h/v1",
            "http://h/v1/chat/completions",
            "gpt-4o",
        );
        check(
            "openai/made-up-model",
            "http://h/v1",
            "http://h/v1/chat/completions",
            "made-up-model",
        );
        check("gpt-5.5", "http://h/v1", "http://h/v1/responses", "gpt-5.5");
        check(
            "openai/gpt-5.5",
            "http://h/v1",
            "http://h/v1/responses",
            "gpt-5.5",
        );
        check(
            "openhands/gpt-5.5",
            "http://h/v1",
            "http://h/v1/responses",
            "gpt-5.5",
        );
        check(
            "openai/gpt-5-of-ours",
            "http://h/v1",
            "http://h/v1/responses",
            "gpt-5-of-ours",
        );
        check(
            "anthropic/claude-sonnet-4-5-20250929",
            "http://h",
            "http://h/v1/messages",
            "claude-sonnet-4-5-20250929",
        );
        check(
            "claude-sonnet-4-5-20250929",
            "http://h/v1",
            "http://h/v1/v1/messages",
            "claude-sonnet-4-5-20250929",
        );
        check(
            "openhands/claude-sonnet-4-5",
            "http://h/v1",
            "http://h/v1/chat/completions",
            "claude-sonnet-4-5",
        );
        check(
            "litellm_proxy/made-up",
            "http://h",
            "http://h/chat/completions",
            "made-up",
        );
        check(
            "litellm_proxy/prod/gpt-5.5",
            "http://h",
            "http://h/responses",
            "prod/gpt-5.5",
        );
        check(
            "openrouter/moonshotai/kimi-k3",
            "http://h",
            "http://h/chat/completions",
            "moonshotai/kimi-k3",
        );
    }

    #[test]
    fn addresses_are_known_without_a_base_url() {
        let url = |model| route(model, None).unwrap().url;
        assert_eq!(url("gpt-4o"), "https://api.openai.com/v1/chat/completions");
        assert_eq!(
            url("claude-opus-5"),
            "https://api.anthropic.com/v1/messages"
        );
        assert_eq!(
            url("openhands/gpt-4o"),
            "https://llm-proxy.app.all-hands.dev/chat/completions"
        );
        let failure = route("litellm_proxy/gpt-4o", None).unwrap_err();
        assert!(
            failure.kind() == FailureKind::BadRequest && failure.detail().contains("llm.base_url")
        );
    }

    #[test]
    fn a_name_without_a_provider_is_refused_with_what_to_do() {
        for name in [
            "made-up-model",
            "kimi-k3",
            "bedrock/x",
            "openai/",
            "/",
            "",
            "meta/llama",
        ] {
            let failure = route(name, Some("http://h")).unwrap_err();
            assert_eq!(failure.code(), "LLMBadRequestError");
            let start = format!(
                "litellm.BadRequestError: LLM Provider NOT provided. Pass in the LLM provider you are trying to \
                 call. You passed model={name}\n"
            );
            assert!(failure.detail().starts_with(&start), "{name}");
            assert!(failure.detail().contains("openai/MODEL"));
        }
    }

    #[test]
    fn the_mode_can_be_chosen() {
        let mut config = Config::new("gpt-5.5");
        config.api_mode = ApiMode::Chat;
        assert_eq!(Route::find(&config).unwrap().protocol, Protocol::Chat);
        config.api_mode = ApiMode::Responses;
        config.model = "gpt-4o".to_owned();
        assert_eq!(Route::find(&config).unwrap().protocol, Protocol::Responses);
        config.native_tool_calling = false;
        assert_eq!(Route::find(&config).unwrap().protocol, Protocol::Chat);
        config.model = "claude-opus-5".to_owned();
        assert_eq!(Route::find(&config).unwrap().protocol, Protocol::Messages);
    }
}

//! The configuration of a language model.

use super::field::{Anything, Field, Map, Reading, Rule};
use super::model::{any_input, any_value, choice, model};
use super::secret::{Secret, View};
use crate::json::{Json, Object, Text};

choice! {
    /// How the model's provider is paid.
    pub enum AuthType {
        /// With a key for each request.
        ApiKey = "api_key",
        /// With a subscription of the person.
        Subscription = "subscription",
    }
}

choice! {
    /// Whose subscription.
    pub enum SubscriptionVendor { /// OpenAI.
        OpenAi = "openai", }
}

choice! {
    /// Which of the provider's interfaces is called.
    pub enum ApiMode { /// The one that fits the model.
        Auto = "auto", /// Chat completions.
        Chat = "chat", /// Responses.
        Responses = "responses", }
}

choice! {
    /// How long the summary of the reasoning is.
    pub enum ReasoningSummary { /// As the provider likes.
        Auto = "auto", /// Short.
        Concise = "concise", /// Long.
        Detailed = "detailed", }
}

/// A truth value or a word.
pub enum Override {
    /// On or off.
    Switch(bool),
    /// Something else.
    Word(Text),
}

impl Field for Override {
    fn read(input: &Json, base: Option<&Json>, run: &mut Reading<'_>) -> Option<Self> {
        match input {
            Json::Text(word) => Some(Self::Word(Text::copy_of(word.expose()))),
            other => bool::read(other, base, run).map(Self::Switch),
        }
    }

    fn show(&self, view: &View<'_>) -> Json {
        match self {
            Self::Switch(on) => on.show(view),
            Self::Word(word) => word.show(view),
        }
    }
}

const NOT_NEGATIVE: Rule = Rule::AtLeast(0.0);
const POSITIVE: Rule = Rule::AtLeast(1.0);

fn text(text: &str) -> Text {
    Text::copy_of(text)
}

model! {
    /// One language model with everything that a request to it needs.
    pub struct Llm { unknown: Dropped, lean: false, before: names_a_model, after: derive }
    /// Provider and model, as LiteLLM names them.
    model: Text = required;
    /// The provider's key.
    api_key: Option<Secret> = { None };
    /// A connection that holds key and address instead.
    provider_connection_id: Option<Text> = { None };
    /// How the provider is paid.
    auth_type: AuthType = { AuthType::ApiKey };
    /// Whose subscription is used.
    subscription_vendor: Option<SubscriptionVendor> = { None };
    /// The address of the provider, if not its own.
    base_url: Option<Text> = { None };
    /// The version of the provider's interface (Azure).
    api_version: Option<Text> = { None };
    /// AWS.
    aws_access_key_id: Option<Secret> = { None };
    /// AWS.
    aws_secret_access_key: Option<Secret> = { None };
    /// AWS.
    aws_session_token: Option<Secret> = { None };
    /// AWS.
    aws_region_name: Option<Text> = { None };
    /// AWS.
    aws_profile_name: Option<Text> = { None };
    /// AWS.
    aws_role_name: Option<Text> = { None };
    /// AWS.
    aws_session_name: Option<Text> = { None };
    /// AWS.
    aws_bedrock_runtime_endpoint: Option<Text> = { None };
    /// What OpenRouter is told about the caller.
    openrouter_site_url: Text = { text("https://docs.all-hands.dev/") };
    /// What OpenRouter is told about the caller.
    openrouter_app_name: Text = { text("OpenHands") };
    /// How often a failed request is tried again.
    num_retries: i64 where [NOT_NEGATIVE] = { 5 };
    /// By how much the wait grows.
    retry_multiplier: f64 where [NOT_NEGATIVE] = { 8.0 };
    /// The shortest wait, in seconds.
    retry_min_wait: i64 where [NOT_NEGATIVE] = { 8 };
    /// The longest wait, in seconds.
    retry_max_wait: i64 where [NOT_NEGATIVE] = { 64 };
    /// For a whole answer, in seconds.
    timeout: Option<i64> where [NOT_NEGATIVE] = { Some(300) };
    /// Between two pieces of a streamed answer, in seconds; the timeout if it is not given.
    stream_idle_timeout: Option<f64> where [NOT_NEGATIVE] = { None };
    /// Longer messages are shortened.
    max_message_chars: i64 where [POSITIVE] = { 30_000 };
    /// Sampling.
    temperature: Option<f64> where [NOT_NEGATIVE] = { None };
    /// Sampling.
    top_p: Option<f64> where [NOT_NEGATIVE, Rule::AtMost(1.0)] = { None };
    /// Sampling.
    top_k: Option<f64> where [NOT_NEGATIVE] = { None };
    /// The room for the conversation.
    max_input_tokens: Option<i64> where [POSITIVE] = { None };
    /// The room for an answer.
    max_output_tokens: Option<i64> where [POSITIVE] = { None };
    /// The name under which the model's abilities are looked up.
    model_canonical_name: Option<Text> = { None };
    /// Which interface is called.
    api_mode: ApiMode = { ApiMode::Auto };
    /// Abilities that are known better here than in the tables.
    capability_overrides: Map<Override> = { Map::default() };
    /// Headers for every request; not secret, by contract.
    extra_headers: Option<Map<Text>> = { None };
    /// For the cost.
    input_cost_per_token: Option<f64> where [NOT_NEGATIVE] = { None };
    /// For the cost.
    output_cost_per_token: Option<f64> where [NOT_NEGATIVE] = { None };
    /// The address of Ollama.
    ollama_base_url: Option<Text> = { None };
    /// Whether answers are streamed.
    stream: bool = { false };
    /// Whether parameters that the model does not know are left out.
    drop_params: bool = { true };
    /// Whether images are never sent.
    disable_vision: Option<bool> = { None };
    /// Whether stop words are never sent.
    disable_stop_word: Option<bool> = { Some(false) };
    /// Whether the prompt may be cached.
    caching_prompt: bool = { true };
    /// Whether every exchange is written to a file.
    log_completions: bool = { false };
    /// Where to.
    log_completions_folder: Text = (|run| Some(text(run.site.log_completions_folder)));
    /// A tokenizer other than the model's.
    custom_tokenizer: Option<Text> = { None };
    /// Whether the model calls tools itself.
    native_tool_calling: bool = { true };
    /// Whether messages are sent as plain text.
    force_string_serializer: Option<bool> = { None };
    /// Whether images are sent within the message.
    inline_image_urls: Option<bool> = { None };
    /// How hard the model thinks; any word.
    reasoning_effort: Option<Text> = { Some(text("high")) };
    /// How long the summary of the reasoning is.
    reasoning_summary: Option<ReasoningSummary> = { None };
    /// Whether encrypted reasoning is asked for.
    enable_encrypted_reasoning: bool = { true };
    /// How long the provider keeps its cache.
    prompt_cache_retention: Option<Text> = { Some(text("24h")) };
    /// The room for thinking.
    extended_thinking_budget: Option<i64> = { Some(200_000) };
    /// Sampling.
    seed: Option<i64> = { None };
    /// Under which name usage is counted.
    usage_id: Text = { text("default") };
    /// Members for the body of every request; not secret, by contract.
    litellm_extra_body: Anything = { Anything::default() };
    /// Whether a subscription is in use: output, kept as it was stored.
    is_subscription: bool = { false };
}

impl Llm {
    /// The model of settings that name none.
    pub(crate) fn fresh(run: &mut Reading<'_>) -> Option<Self> {
        let mut named = Object::with_capacity(1);
        named.insert("model", Json::text("gpt-5.6"));
        Self::read(&named.into(), None, run)
    }

    /// Whether a key is set that is not blank.
    #[must_use]
    pub fn has_key(&self) -> bool {
        self.api_key
            .as_ref()
            .is_some_and(|key| !key.expose().trim().is_empty())
    }

    /// Whether a person configured it, or it is what the defaults say.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        self.has_key()
            || self.is_subscription
            || self.auth_type == AuthType::Subscription
            || self
                .base_url
                .as_ref()
                .is_some_and(|url| !url.expose().trim().is_empty())
    }
}

/// The one rule that is asked before all others.
fn names_a_model(input: &Json, run: &mut Reading<'_>) -> bool {
    let named = match input.get("model") {
        None | Some(Json::Null) => false,
        Some(Json::Text(model)) => !model.expose().is_empty(),
        Some(_) => true,
    };
    if !named {
        run.refuse_value::<()>("model must be specified in LLM", Llm::veil(input));
    }
    named
}

fn derive(llm: &mut Llm, input: &Json, _: &mut Reading<'_>) -> bool {
    if input.get("stream_idle_timeout").is_none() {
        llm.stream_idle_timeout = llm.timeout.map(|seconds| seconds as f64);
    }
    let model = llm.model.expose();
    let is_empty = |text: &Option<Text>| text.as_ref().is_none_or(|text| text.expose().is_empty());
    if model.starts_with("azure") && is_empty(&llm.api_version) {
        llm.api_version = Some(text("2024-12-01-preview"));
    }
    let openai = ["https://api.openai.com", "https://api.openai.com/"];
    if model.starts_with("openai/")
        && llm
            .base_url
            .as_ref()
            .is_some_and(|url| openai.contains(&url.expose()))
    {
        llm.base_url = None;
    }
    true
}

model! {
    /// The body that saves or checks a profile.
    pub struct SaveProfile { unknown: Dropped, lean: false, before: any_input, after: any_value }
    /// The model.
    llm: Box<Llm> = required;
    /// Whether its secrets are kept.
    include_secrets: bool = { true };
}

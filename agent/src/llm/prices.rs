//! What is known about models: limits, abilities, prices. Pure data.
//!
//! A model that is not in the table works too: it has no price, no known window, and is asked as its
//! provider's other models are.

mod table;

use super::usage::Usage;

/// Who makes a model, hence how it is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are names")]
pub enum Owner {
    OpenAi,
    Anthropic,
    Google,
    DeepSeek,
    Moonshot,
    Zai,
    MiniMax,
    Qwen,
    Mistral,
    Xai,
}

/// One known model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Model {
    /// Its name without a provider's prefix, in lower case.
    pub name: &'static str,
    /// Who makes it.
    pub owner: Owner,
    /// Tokens that a prompt may have.
    pub window: u64,
    /// Tokens that an answer may have.
    pub output: u64,
    /// Whether it takes images.
    pub sees: bool,
    /// Whether it thinks before it answers.
    pub reasons: bool,
    /// Whether it decides itself how much it thinks (Anthropic).
    pub adapts: bool,
    /// Whether it is asked by OpenAI's responses unless told otherwise.
    pub responds: bool,
    price: Price,
    write: Option<f64>,
    long: Option<(u64, Price)>,
}

/// US dollars per million tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Price {
    prompt: f64,
    cached: f64,
    answer: f64,
}

impl Price {
    const fn of([prompt, cached, answer]: [f64; 3]) -> Self {
        Self {
            prompt,
            cached,
            answer,
        }
    }
}

impl Model {
    const fn new(
        name: &'static str,
        owner: Owner,
        window: u64,
        output: u64,
        price: [f64; 3],
    ) -> Self {
        Self {
            name,
            owner,
            window,
            output,
            sees: false,
            reasons: false,
            adapts: false,
            responds: false,
            price: Price::of(price),
            write: None,
            long: None,
        }
    }

    const fn sees(mut self) -> Self {
        self.sees = true;
        self
    }

    const fn reasons(mut self) -> Self {
        self.reasons = true;
        self
    }

    const fn adapts(mut self) -> Self {
        self.reasons = true;
        self.adapts = true;
        self
    }

    const fn responds(mut self) -> Self {
        self.responds = true;
        self
    }

    /// The price of tokens that go into the cache, where it differs from that of the prompt.
    const fn writing(mut self, price: f64) -> Self {
        self.write = Some(price);
        self
    }

    /// The price of a whole request whose prompt has more than `tokens`.
    const fn beyond(mut self, tokens: u64, price: [f64; 3]) -> Self {
        self.long = Some((tokens, Price::of(price)));
        self
    }

    /// The model of that name (without a provider's prefix), also with a date behind it.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        let name = name.to_ascii_lowercase();
        let exact = |name: &str| table::MODELS.iter().find(|model| model.name == name);
        exact(&name).or_else(|| exact(undated(&name)?))
    }

    /// What a request cost, in US dollars.
    #[must_use]
    pub fn cost(&self, usage: &Usage) -> f64 {
        let price = match self.long {
            Some((tokens, price)) if usage.prompt > tokens => price,
            _ => self.price,
        };
        // The price of writing to the cache rises with that of the prompt.
        let write = self.write.map_or(price.prompt, |write| {
            write * (price.prompt / self.price.prompt)
        });
        let known = usage.cache_read.saturating_add(usage.cache_write);
        let fresh = usage.prompt.saturating_sub(known);
        (tokens(fresh) * price.prompt
            + tokens(usage.cache_read) * price.cached
            + tokens(usage.cache_write) * write
            + tokens(usage.completion) * price.answer)
            / 1e6
    }
}

/// What a request cost by prices per token of the settings' own: they know no discount.
#[must_use]
pub fn cost_by(input_per_token: f64, output_per_token: f64, usage: &Usage) -> f64 {
    tokens(usage.prompt) * input_per_token + tokens(usage.completion) * output_per_token
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 tokens")]
fn tokens(count: u64) -> f64 {
    count as f64
}

/// The name without a trailing `-latest`, `-20250929` or `-2025-09-29`.
fn undated(name: &str) -> Option<&str> {
    if let Some(base) = name.strip_suffix("-latest") {
        return Some(base);
    }
    ["-20dddddd", "-20dd-dd-dd"].into_iter().find_map(|shape| {
        let (base, date) = name.split_at_checked(name.len().checked_sub(shape.len())?)?;
        let fits = |(byte, shape): (u8, u8)| match shape {
            b'd' => byte.is_ascii_digit(),
            _ => byte == shape,
        };
        date.bytes().zip(shape.bytes()).all(fits).then_some(base)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(prompt: u64, completion: u64, cache_read: u64, cache_write: u64) -> Usage {
        Usage {
            prompt,
            completion,
            cache_read,
            cache_write,
            reasoning: 0,
        }
    }

    fn check(name: &str, usage: Usage, expected: f64) {
        let cost = Model::find(name).unwrap().cost(&usage);
        assert!(
            (cost - expected).abs() < 1e-9,
            "{name}: {cost} is not {expected}"
        );
    }

    #[test]
    fn costs_are_those_of_the_contract() {
        check("gpt-4o", usage(20, 4, 0, 0), 9e-5);
        check("gpt-4o", usage(1000, 100, 0, 0), 0.0035);
        check("gpt-4o", usage(1000, 100, 400, 0), 0.003);
        check("gpt-5.5", usage(1000, 100, 0, 0), 0.008);
        check("gpt-5.5", usage(1000, 100, 400, 0), 0.0062);
        check("claude-sonnet-4-5-20250929", usage(20, 4, 0, 0), 0.00012);
        check(
            "claude-sonnet-4-5-20250929",
            usage(1000, 100, 400, 0),
            0.00342,
        );
        check("claude-sonnet-4-5", usage(1100, 100, 300, 200), 0.00414);
    }

    #[test]
    fn a_long_prompt_has_its_own_price() {
        check("gpt-5.5", usage(272_000, 0, 0, 0), 1.36);
        check("gpt-5.5", usage(272_001, 10, 0, 0), 2.720_46);
        check(
            "gpt-6-sol",
            usage(300_000, 0, 0, 100_000),
            200_000.0 * 4e-6 + 100_000.0 * 5e-6,
        );
    }

    #[test]
    fn usage_that_contradicts_itself_costs_no_less_than_nothing() {
        check(
            "gpt-4o",
            usage(10, 0, 400, 400),
            400.0 * 1.25e-6 + 400.0 * 2.5e-6,
        );
    }

    #[test]
    fn own_prices_know_no_discount() {
        let cost = cost_by(0.001, 0.002, &usage(1000, 100, 400, 0));
        assert!((cost - 1.2).abs() < 1e-9);
    }

    #[test]
    fn names_are_found_with_and_without_a_date() {
        let name = |name: &str| Model::find(name).map(|model| model.name);
        assert_eq!(name("gpt-5-mini-2025-08-07"), Some("gpt-5-mini"));
        assert_eq!(name("claude-haiku-4-5-20251001"), Some("claude-haiku-4-5"));
        assert_eq!(name("claude-sonnet-4-5"), Some("claude-sonnet-4-5"));
        assert_eq!(name("gpt-4o-2024-05-13"), Some("gpt-4o-2024-05-13"));
        assert_eq!(name("MiniMax-M2"), Some("minimax-m2"));
        assert_eq!(name("gpt-4o-20"), None);
        assert_eq!(name("gpt-4o-2024-08-061"), None);
        assert_eq!(name("made-up-20250929"), None);
        assert_eq!(name(""), None);
        assert_eq!(name("-20250929"), None);
        assert_eq!(name("é-20250929"), None);
    }

    #[test]
    fn every_row_is_sound() {
        for (at, model) in table::MODELS.iter().enumerate() {
            let name = model.name;
            assert_eq!(name, name.to_ascii_lowercase());
            assert!(
                table::MODELS
                    .iter()
                    .skip(at + 1)
                    .all(|other| other.name != name),
                "{name} twice"
            );
            assert!(model.window > 16_000 && model.output > 0, "{name}");
            assert!(
                model.price.prompt > 0.0 && model.price.answer > 0.0,
                "{name}"
            );
            assert!(model.price.cached <= model.price.prompt, "{name}");
        }
    }
}

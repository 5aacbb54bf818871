//! What a price list says beyond one price each of input, cached input and output: kinds of tokens with
//! prices of their own, prices that depend on the size of the prompt, a fee for each request.

use serde::{Deserialize, Serialize};

use crate::checks::{check, sound};
use crate::error::Error;
use crate::usage::{MOST_TOKENS, PRICE_RULE, PRICED_TOKENS, TOKEN_RULE, Tokens, is_price};

/// Tokens of one query, by all kinds that price lists tell apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// All input tokens.
    pub input: f64,
    /// All output tokens.
    pub output: f64,
    /// Of the input: read from a cache.
    pub cached: f64,
    /// Of the input: written to a cache.
    pub cache_written: f64,
    /// Of the input: audio.
    pub audio_input: f64,
    /// Of the output: reasoning.
    pub reasoning: f64,
    /// Of the output: audio.
    pub audio_output: f64,
}

impl From<Tokens> for Usage {
    fn from(Tokens { input, cached, output }: Tokens) -> Self {
        Self { input, output, cached, ..Self::default() }
    }
}

impl Usage {
    /// The same without the kinds that most lists do not tell apart.
    #[must_use]
    pub fn tokens(&self) -> Tokens {
        Tokens { input: self.input, cached: self.cached, output: self.output }
    }

    /// Checks every count.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`] naming the count and its rule.
    pub fn validate(&self) -> Result<(), Error> {
        self.tokens().validate()?;
        let Self { input, output, cached, cache_written, audio_input, reasoning, audio_output } =
            *self;
        let named = [
            ("cache_written_tokens", cache_written),
            ("audio_input_tokens", audio_input),
            ("reasoning_tokens", reasoning),
            ("audio_output_tokens", audio_output),
        ];
        for (argument, count) in named {
            check((0.0..=MOST_TOKENS).contains(&count), argument, count, TOKEN_RULE)?;
        }
        let of_input = cached + cache_written + audio_input;
        let rule = "cached, cache-written and audio tokens are part of the input: together no more";
        check(of_input <= input, "input_tokens", input, rule)?;
        let rule = "reasoning and audio tokens are part of the output: together no more";
        check(reasoning + audio_output <= output, "output_tokens", output, rule)
    }
}

/// USD per million tokens of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Of input that is of no other kind.
    pub input: f64,
    /// Of input read from a cache.
    pub cached_input: f64,
    /// Of input written to a cache.
    pub cache_write: f64,
    /// Of audio in the input.
    pub audio_input: f64,
    /// Of output that is of no other kind.
    pub output: f64,
    /// Of reasoning.
    pub reasoning: f64,
    /// Of audio in the output.
    pub audio_output: f64,
}

impl Rates {
    fn validate(&self) -> Result<(), Error> {
        let named = [
            ("input_price", self.input),
            ("cached_input_price", self.cached_input),
            ("cache_write_price", self.cache_write),
            ("audio_input_price", self.audio_input),
            ("output_price", self.output),
            ("reasoning_price", self.reasoning),
            ("audio_output_price", self.audio_output),
        ];
        for (argument, price) in named {
            check(is_price(price), argument, price, PRICE_RULE)?;
        }
        Ok(())
    }

    fn bill(&self, usage: &Usage) -> f64 {
        let Usage { input, output, cached, cache_written, audio_input, reasoning, audio_output } =
            *usage;
        let usd = self.input * (input - cached - cache_written - audio_input)
            + self.cached_input * cached
            + self.cache_write * cache_written
            + self.audio_input * audio_input
            + self.output * (output - reasoning - audio_output)
            + self.reasoning * reasoning
            + self.audio_output * audio_output;
        usd / PRICED_TOKENS
    }

    /// The same with all input, and all output, of the most expensive kind.
    fn most(&self, input: f64, output: f64) -> f64 {
        let of_input =
            self.input.max(self.cached_input).max(self.cache_write).max(self.audio_input);
        let of_output = self.output.max(self.reasoning).max(self.audio_output);
        (of_input * input + of_output * output) / PRICED_TOKENS
    }
}

/// All prices of a list for one arm.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tariff {
    /// The rates of a query whose input is larger than the number beside them: the last that apply. The
    /// first are those of any size.
    pub tiers: Vec<(f64, Rates)>,
    /// For each request, USD.
    pub per_request: f64,
}

impl Tariff {
    /// Checks every number.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`] naming it and its rule.
    pub fn validate(&self) -> Result<(), Error> {
        sound(self.tiers.first().is_some_and(|first| first.0 == 0.0), "the tiers of a price")?;
        sound(self.tiers.is_sorted_by(|a, b| a.0 < b.0), "the tiers of a price")?;
        for (above, rates) in &self.tiers {
            check((0.0..=MOST_TOKENS).contains(above), "above", *above, TOKEN_RULE)?;
            rates.validate()?;
        }
        let rule = "must be in [0, 1e5], in USD per request";
        check(is_price(self.per_request), "per_request", self.per_request, rule)
    }

    fn rates(&self, input: f64) -> Rates {
        let applies = |tier: &&(f64, Rates)| input > tier.0;
        let tier = self.tiers.iter().rev().find(applies).or(self.tiers.first());
        tier.map_or_else(Rates::default, |tier| tier.1)
    }

    /// What this usage costs, USD.
    #[must_use]
    pub fn bill(&self, usage: &Usage) -> f64 {
        self.rates(usage.input).bill(usage) + self.per_request
    }

    /// The most that a query of so many tokens can cost, USD, whatever kinds they are.
    #[must_use]
    pub fn most(&self, input: f64, output: f64) -> f64 {
        self.rates(input).most(input, output) + self.per_request
    }
}

//! A script in use: which rule a call matches, and how far its sequence is.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use serde::{Deserialize, Serialize};

use super::{Response, Rule, Script, Unmatched};
use crate::{ask::Ask, dialect::Dialect};

/// How many prompts without a rule are kept.
const KEPT: usize = 20;

/// The most characters of each that are shown.
const SHOWN: usize = 200;

/// What a script says of a call.
#[derive(Debug)]
pub(crate) enum Choice<'s> {
    /// A rule matches.
    Respond {
        rule: &'s str,
        response: &'s Response,
    },
    /// No rule matches, and the simulator answers as it does without a script.
    Answer,
    /// No rule matches, and the call is refused: why.
    Refuse(String),
}

/// How often each rule was used, and which prompts had none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptReport {
    /// In the order of the script.
    pub rules: Vec<RuleReport>,
    /// Calls that no rule matched.
    pub unmatched: UnmatchedReport,
}

/// How often a rule was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleReport {
    /// Its name, or `rule N`.
    pub name: String,
    /// Calls that it decided.
    pub calls: u64,
}

/// Calls that no rule matched.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnmatchedReport {
    /// How many.
    pub calls: u64,
    /// The beginnings of the last 20 prompts.
    pub prompts: Vec<String>,
}

/// A script in use.
#[derive(Debug)]
pub(crate) struct Play {
    script: Script,
    began: Instant,
    progress: Mutex<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    /// Calls by rule.
    calls: Vec<u64>,
    /// Calls by rule and prompt, of rules with a sequence for each prompt.
    by_prompt: HashMap<(usize, Box<str>), u64>,
    unmatched: u64,
    prompts: VecDeque<String>,
}

impl Play {
    /// Begins with the first responses, now.
    pub(crate) fn begin(script: Script) -> Self {
        let progress = Progress {
            calls: vec![0; script.rules.len()],
            ..Progress::default()
        };
        Self {
            script,
            began: Instant::now(),
            progress: Mutex::new(progress),
        }
    }

    /// The same script from its beginning.
    pub(crate) fn again(&self) -> Self {
        Self::begin(self.script.clone())
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first rule that matches a call and has a response left, and that response, which is thereby used.
    pub(crate) fn choose(&self, provider: &str, dialect: Dialect, ask: &Ask<'_>) -> Choice<'_> {
        let since = self.began.elapsed();
        let matching = (0..).zip(&self.script.rules);
        let matching =
            matching.filter(|(_, rule)| rule.when.matches(provider, dialect, ask, since));
        // One lock, so that calls that arrive together use the responses one after another.
        let mut progress = self.progress();
        for (number, rule) in matching {
            if let Some(response) = progress.take(number, rule, &ask.prompt) {
                return Choice::Respond {
                    rule: &rule.name,
                    response,
                };
            }
        }
        let shown: String = ask.prompt.chars().take(SHOWN).collect();
        let choice = match self.script.unmatched {
            Unmatched::Answer => Choice::Answer,
            Unmatched::Refuse => Choice::Refuse(format!(
                "The simulator's script has no rule for this call of {} ({}) with the prompt: {shown}",
                ask.model,
                dialect.as_str()
            )),
        };
        progress.unmatched += 1;
        progress.prompts.push_back(shown);
        if progress.prompts.len() > KEPT {
            progress.prompts.pop_front();
        }
        choice
    }

    pub(crate) fn report(&self) -> ScriptReport {
        let progress = self.progress();
        let rules = self.script.rules.iter().zip(&progress.calls);
        ScriptReport {
            rules: rules
                .map(|(rule, calls)| RuleReport {
                    name: rule.name.clone(),
                    calls: *calls,
                })
                .collect(),
            unmatched: UnmatchedReport {
                calls: progress.unmatched,
                prompts: progress.prompts.iter().cloned().collect(),
            },
        }
    }
}

impl Progress {
    /// The next response of a rule; `None` if its sequence has ended.
    fn take<'r>(&mut self, number: usize, rule: &'r Rule, prompt: &str) -> Option<&'r Response> {
        let calls = self.calls.get_mut(number)?;
        let place = if rule.per_prompt {
            self.by_prompt.entry((number, prompt.into())).or_default()
        } else {
            &mut *calls
        };
        let response = rule.at(*place)?;
        *place += 1;
        if rule.per_prompt {
            *calls += 1;
        }
        Some(response)
    }
}

impl Rule {
    /// The response to the call after so many others.
    fn at(&self, mut calls: u64) -> Option<&Response> {
        self.then
            .iter()
            .find(|response| match response.times.map(u64::from) {
                None => true,
                Some(times) if calls < times => true,
                Some(times) => {
                    calls -= times;
                    false
                }
            })
    }
}

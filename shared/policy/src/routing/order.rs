//! Precomputed orders of candidates.

use std::cmp::Reverse;

use longshore_protocol::platform::Tier;

use super::{
    Preference, Routing, RoutingStage, StageName,
    market::{CandidateIndex, Market, Required, Why},
};

/// An order of candidates, and the stages that led to it.
#[derive(Debug)]
pub(super) struct Order {
    /// The candidates, each platform once.
    pub(super) indexes: Vec<CandidateIndex>,
    /// The reason of the preferred candidates.
    pub(super) preferred: String,
    pub(super) steps: Vec<RoutingStage<'static>>,
}

/// Builds orders.
pub(super) struct Orders<'a> {
    market: &'a Market,
    routing: &'a Routing,
}

/// The candidates of a preference.
struct Preferred {
    indexes: Vec<CandidateIndex>,
    why: Why,
    /// The reasons of those that are missing.
    without: Vec<String>,
}

impl<'a> Orders<'a> {
    pub(super) fn new(market: &'a Market, routing: &'a Routing) -> Self {
        Self { market, routing }
    }

    /// By cost alone.
    pub(super) fn plain(&self) -> Order {
        let mut order = Order {
            indexes: Vec::new(),
            preferred: String::new(),
            steps: Vec::new(),
        };
        self.append_rest(&mut order, Required::default());
        order
    }

    /// The order with the candidates of a preference first, for jobs that require this tier; the reason if
    /// it has none. The candidates behind them are of the tier, and have the capability, that the preference
    /// or the job requires.
    pub(super) fn preferring(
        &self,
        prefer: &Preference,
        step: StageName,
        name: &str,
        reason: String,
        tier: Option<Tier>,
    ) -> Result<Order, String> {
        let Preferred {
            indexes,
            why,
            without,
        } = self.preferred(prefer);
        if indexes.is_empty() {
            return Err(format!(
                "{name} matches no available model: {}",
                without.join("; ")
            ));
        }
        let mut outcome: Vec<String> = vec![format!("{name}: {}", self.market.listed(&indexes))];
        outcome.extend(without);
        let required = self.required_behind(prefer, &indexes, tier);
        let mut order = Order {
            indexes: Vec::new(),
            preferred: reason,
            steps: vec![RoutingStage {
                step,
                outcome: outcome.join("; ").into(),
            }],
        };
        for index in indexes {
            if !order.has(index.provider) {
                order.indexes.push(CandidateIndex { why, ..index });
            }
        }
        self.append_rest(&mut order, required);
        Ok(order)
    }

    fn preferred(&self, prefer: &Preference) -> Preferred {
        let (mut indexes, mut without) = (Vec::new(), Vec::new());
        let (platforms, required) = match prefer {
            Preference::Model(name) => {
                match self.market.named(name) {
                    Ok(named) => indexes = named,
                    Err(why) => without.push(why),
                }
                self.market.sort(&mut indexes, self.routing.prefer_local);
                return Preferred {
                    indexes,
                    why: Why::Preferred,
                    without,
                };
            }
            Preference::Able {
                platforms,
                tier,
                capability,
            } => {
                let (tier, capability) = (*tier, *capability);
                (platforms, Required { tier, capability })
            }
        };
        for platform in platforms {
            let open = self.market.open(platform);
            match open.and_then(|provider| self.market.able(provider, required)) {
                Ok(index) => indexes.push(index),
                Err(why) => without.push(why),
            }
        }
        if !platforms.is_empty() {
            return Preferred {
                indexes,
                why: Why::Preferred,
                without,
            };
        }
        let able = |provider| self.market.able(provider, required).ok();
        indexes.extend(self.market.on().filter_map(able));
        self.market.sort(&mut indexes, self.routing.prefer_local);
        if indexes.is_empty() {
            without.push("no platform that is on has such a model".to_owned());
        }
        Preferred {
            indexes,
            why: Why::Able,
            without,
        }
    }

    /// What the candidates behind those of a preference must be. A preference that names a model asks for
    /// others of its tier.
    fn required_behind(
        &self,
        prefer: &Preference,
        indexes: &[CandidateIndex],
        asked: Option<Tier>,
    ) -> Required {
        let (tier, capability) = match prefer {
            Preference::Model(_) => {
                let models = indexes.iter().filter_map(|index| self.market.model(*index));
                let tiers = models.map(|model| model.tier).chain(asked);
                (tiers.max_by_key(|tier| tier.rank()), None)
            }
            Preference::Able {
                tier, capability, ..
            } => (tier.or(asked), *capability),
        };
        Required { tier, capability }
    }

    /// Appends the platforms that are not in the order yet, by cost.
    fn append_rest(&self, order: &mut Order, required: Required) {
        let is_plain = order.indexes.is_empty();
        let (mut rest, mut without) = (Vec::new(), Vec::new());
        for provider in self.market.on().filter(|provider| !order.has(*provider)) {
            match self.market.able(provider, required) {
                Ok(index) => rest.push(index),
                Err(why) if !required.is_nothing() => without.push(why),
                Err(_) => {}
            }
        }
        self.market.sort(&mut rest, self.routing.prefer_local);
        let first = match (rest.is_empty(), is_plain, required.is_nothing()) {
            (true, ..) => "no others".to_owned(),
            (false, true, _) => "cheapest first".to_owned(),
            (false, false, true) => "then the others, cheapest first".to_owned(),
            (false, false, false) => format!("then the others {required}, cheapest first"),
        };
        if !rest.is_empty() || !without.is_empty() {
            without.insert(0, first);
            order.steps.push(RoutingStage {
                step: StageName::Cost,
                outcome: without.join("; ").into(),
            });
        }
        order.steps.extend(self.local_first(&mut rest));
        order.steps.extend(self.fall_back(&mut rest, is_plain));
        order.indexes.extend(rest);
    }

    fn local_first(&self, rest: &mut [CandidateIndex]) -> Option<RoutingStage<'static>> {
        let local = |index: &CandidateIndex| self.market.is_local(*index);
        if !self.routing.prefer_local || !rest.iter().any(local) {
            return None;
        }
        for index in rest
            .iter_mut()
            .filter(|index| self.market.is_local(**index))
        {
            index.why = Why::Local;
        }
        Some(RoutingStage {
            step: StageName::Local,
            outcome: "local platforms before the others".into(),
        })
    }

    /// Moves the fallback provider after the candidates that come first: the preferred ones, or the
    /// cheapest.
    fn fall_back(
        &self,
        rest: &mut Vec<CandidateIndex>,
        plain: bool,
    ) -> Option<RoutingStage<'static>> {
        let name = self.routing.fallback_provider.as_ref()?;
        let provider = self.market.open(name).ok()?;
        let at = rest.iter().position(|index| index.provider == provider)?;
        let to = usize::from(plain);
        if at < to {
            return None;
        }
        let index = rest.remove(at);
        let why = Why::Fallback;
        rest.insert(to, CandidateIndex { why, ..index });
        Some(RoutingStage {
            step: StageName::Fallback,
            outcome: format!("`{name}` is the first fallback").into(),
        })
    }
}

impl Order {
    fn has(&self, provider: usize) -> bool {
        self.indexes.iter().any(|index| index.provider == provider)
    }
}

impl Market {
    /// Sorts by cost: free, subscription, paid, and within each by the price of a typical call. Of
    /// equal prices, the later entry of the catalog comes first, because it is the newer model.
    pub(super) fn sort(&self, indexes: &mut [CandidateIndex], prefer_local: bool) {
        indexes.sort_by_cached_key(|index| {
            let remote = prefer_local && !self.is_local(*index);
            (remote, self.cost(*index), Reverse(index.model))
        });
    }
}

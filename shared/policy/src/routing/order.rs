//! Precomputed orders of candidates.

use std::cmp::Reverse;

use super::{
    Preference, Routing, RoutingStage, StageName,
    market::{CandidateIndex, Market, Why},
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
    /// Every enabled platform with its default model, by cost.
    all: Vec<CandidateIndex>,
}

impl<'a> Orders<'a> {
    pub(super) fn new(market: &'a Market, routing: &'a Routing) -> Self {
        let mut all = market.defaults();
        market.sort(&mut all, routing.prefer_local);
        Self {
            market,
            routing,
            all,
        }
    }

    /// By cost alone.
    pub(super) fn plain(&self) -> Order {
        self.order(Vec::new(), String::new(), None)
    }

    /// The order with the candidates of a preference first; the reason if it has none.
    pub(super) fn preferring(
        &self,
        prefer: &Preference,
        step: StageName,
        name: &str,
        reason: String,
    ) -> Result<Order, String> {
        let (indexes, without) = self.preferred(prefer);
        if indexes.is_empty() {
            return Err(format!(
                "{name} matches no available model: {}",
                without.join("; ")
            ));
        }
        let mut outcome: Vec<String> = vec![format!("{name}: {}", self.market.listed(&indexes))];
        outcome.extend(without);
        let step = RoutingStage {
            step,
            outcome: outcome.join("; ").into(),
        };
        Ok(self.order(indexes, reason, Some(step)))
    }

    /// The candidates of a preference, and the reasons of those that are missing.
    fn preferred(&self, prefer: &Preference) -> (Vec<CandidateIndex>, Vec<String>) {
        match prefer {
            Preference::Model(name) => match self.market.named(name) {
                Ok(mut indexes) => {
                    self.market.sort(&mut indexes, self.routing.prefer_local);
                    (indexes, Vec::new())
                }
                Err(why) => (Vec::new(), vec![why]),
            },
            Preference::Able {
                platforms,
                tier,
                capability,
            } if platforms.is_empty() => {
                let mut indexes: Vec<CandidateIndex> = self
                    .market
                    .on()
                    .filter_map(|provider| self.market.able(provider, *tier, *capability).ok())
                    .collect();
                self.market.sort(&mut indexes, self.routing.prefer_local);
                let none = "no platform that is on has such a model".to_owned();
                let without = if indexes.is_empty() {
                    vec![none]
                } else {
                    Vec::new()
                };
                (indexes, without)
            }
            Preference::Able {
                platforms,
                tier,
                capability,
            } => {
                let (mut indexes, mut without) = (Vec::new(), Vec::new());
                for platform in platforms {
                    match self
                        .market
                        .open(platform)
                        .and_then(|provider| self.market.able(provider, *tier, *capability))
                    {
                        Ok(index) => indexes.push(index),
                        Err(why) => without.push(why),
                    }
                }
                (indexes, without)
            }
        }
    }

    fn order(
        &self,
        head: Vec<CandidateIndex>,
        preferred: String,
        step: Option<RoutingStage<'static>>,
    ) -> Order {
        let mut indexes: Vec<CandidateIndex> = Vec::new();
        for index in head {
            if !indexes.iter().any(|other| other.provider == index.provider) {
                indexes.push(CandidateIndex {
                    why: Why::Preferred,
                    ..index
                });
            }
        }
        let mut rest = self.all.clone();
        rest.retain(|index| !indexes.iter().any(|other| other.provider == index.provider));
        let mut steps: Vec<RoutingStage<'static>> = step.into_iter().collect();
        if !rest.is_empty() {
            steps.push(RoutingStage {
                step: StageName::Cost,
                outcome: if indexes.is_empty() {
                    "cheapest first".into()
                } else {
                    "then the others, cheapest first".into()
                },
            });
            steps.extend(self.local_first(&mut rest));
            steps.extend(self.fall_back(&mut rest, indexes.is_empty()));
        }
        indexes.extend(rest);
        Order {
            indexes,
            preferred,
            steps,
        }
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

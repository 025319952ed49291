//! Precomputed orders of candidates.

use std::cmp::Reverse;

use super::{
    Preference, Routing, Step, StepName,
    market::{Market, Place, Why},
};

/// An order of candidates, and the stages that led to it.
#[derive(Debug)]
pub(super) struct Order {
    /// The candidates, each platform once.
    pub(super) places: Vec<Place>,
    /// The reason of the preferred candidates.
    pub(super) preferred: String,
    pub(super) steps: Vec<Step<'static>>,
}

/// Builds orders.
pub(super) struct Orders<'a> {
    market: &'a Market,
    routing: &'a Routing,
    /// Every enabled platform with its default model, by cost.
    all: Vec<Place>,
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
        step: StepName,
        name: &str,
        reason: String,
    ) -> Result<Order, String> {
        let (places, without) = self.preferred(prefer);
        if places.is_empty() {
            return Err(format!("{name} finds nobody: {}", without.join("; ")));
        }
        let mut outcome: Vec<String> = vec![format!("{name}: {}", self.market.listed(&places))];
        outcome.extend(without);
        let step = Step {
            step,
            outcome: outcome.join("; ").into(),
        };
        Ok(self.order(places, reason, Some(step)))
    }

    /// The candidates of a preference, and the reasons of those that are missing.
    fn preferred(&self, prefer: &Preference) -> (Vec<Place>, Vec<String>) {
        match prefer {
            Preference::Model(name) => match self.market.named(name) {
                Ok(mut places) => {
                    self.market.sort(&mut places, self.routing.prefer_local);
                    (places, Vec::new())
                }
                Err(why) => (Vec::new(), vec![why]),
            },
            Preference::Able {
                platforms,
                tier,
                capability,
            } if platforms.is_empty() => {
                let mut places: Vec<Place> = self
                    .market
                    .on()
                    .filter_map(|provider| self.market.able(provider, *tier, *capability).ok())
                    .collect();
                self.market.sort(&mut places, self.routing.prefer_local);
                let none = "no platform that is on has such a model".to_owned();
                let without = if places.is_empty() {
                    vec![none]
                } else {
                    Vec::new()
                };
                (places, without)
            }
            Preference::Able {
                platforms,
                tier,
                capability,
            } => {
                let (mut places, mut without) = (Vec::new(), Vec::new());
                for platform in platforms {
                    match self
                        .market
                        .open(platform)
                        .and_then(|provider| self.market.able(provider, *tier, *capability))
                    {
                        Ok(place) => places.push(place),
                        Err(why) => without.push(why),
                    }
                }
                (places, without)
            }
        }
    }

    fn order(&self, head: Vec<Place>, preferred: String, step: Option<Step<'static>>) -> Order {
        let mut places: Vec<Place> = Vec::new();
        for place in head {
            if !places.iter().any(|other| other.provider == place.provider) {
                places.push(Place {
                    why: Why::Preferred,
                    ..place
                });
            }
        }
        let mut rest = self.all.clone();
        rest.retain(|place| !places.iter().any(|other| other.provider == place.provider));
        let mut steps: Vec<Step<'static>> = step.into_iter().collect();
        if !rest.is_empty() {
            steps.push(Step {
                step: StepName::Cost,
                outcome: if places.is_empty() {
                    "cheapest first".into()
                } else {
                    "then the others, cheapest first".into()
                },
            });
            steps.extend(self.local_first(&mut rest));
            steps.extend(self.fall_back(&mut rest, places.is_empty()));
        }
        places.extend(rest);
        Order {
            places,
            preferred,
            steps,
        }
    }

    fn local_first(&self, rest: &mut [Place]) -> Option<Step<'static>> {
        let local = |place: &Place| self.market.is_local(*place);
        if !self.routing.prefer_local || !rest.iter().any(local) {
            return None;
        }
        for place in rest
            .iter_mut()
            .filter(|place| self.market.is_local(**place))
        {
            place.why = Why::Local;
        }
        Some(Step {
            step: StepName::Local,
            outcome: "local platforms before the others".into(),
        })
    }

    /// Moves the fallback provider after the candidates that come first: the preferred ones, or the
    /// cheapest.
    fn fall_back(&self, rest: &mut Vec<Place>, plain: bool) -> Option<Step<'static>> {
        let name = self.routing.fallback_provider.as_ref()?;
        let provider = self.market.open(name).ok()?;
        let at = rest.iter().position(|place| place.provider == provider)?;
        let to = usize::from(plain);
        if at < to {
            return None;
        }
        let place = rest.remove(at);
        let why = Why::Fallback;
        rest.insert(to, Place { why, ..place });
        Some(Step {
            step: StepName::Fallback,
            outcome: format!("`{name}` is the first fallback").into(),
        })
    }
}

impl Market {
    /// Sorts by cost: free, subscription, paid, and within each by the price of a typical call. Of
    /// equal prices, the later entry of the catalog comes first, because it is the newer model.
    pub(super) fn sort(&self, places: &mut [Place], prefer_local: bool) {
        places.sort_by_cached_key(|place| {
            let remote = prefer_local && !self.is_local(*place);
            (remote, self.cost(*place), Reverse(place.model))
        });
    }
}

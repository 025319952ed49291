//! The circuits of the models, as this worker sees them: whom to leave alone, and who may try again.
//!
//! Redis decides for all workers together (`circuit_*.lua`). Here is what makes it free: a model that is
//! well costs an atomic addition a call. Failures are told at once; successes every half second, and only
//! of models of which something failed lately.

mod cell;
mod pass;

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use chrono::{DateTime, Utc};
use longshore_broker::{Broker, BrokerError, CircuitName, Claim, Counts};
use longshore_policy::limits::Circuit;
use longshore_protocol::{call::ErrorClass, id::WorkerId, platform::PlatformName};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::cell::Cell;
pub use self::{cell::Health, pass::Pass};
use crate::clock::Clock;

/// How often successes are told; the script's shortest look back is twice as long.
const TELL_EVERY: Duration = Duration::from_millis(500);

/// Every so many of these, all circuits are looked at, in case that a message was lost.
const LOOK_EVERY: u32 = 2;

/// How long a probe is claimed; renewed at every look, so that only a dead worker's runs out.
const CLAIM: Duration = Duration::from_secs(3);

/// The circuits, as this worker sees them.
pub struct Circuits {
    broker: Broker,
    clock: Clock,
    worker: WorkerId,
    rule: Circuit,
    cells: RwLock<HashMap<PlatformName, HashMap<String, Arc<Cell>>>>,
    changed: Notify,
}

impl Circuits {
    /// All closed, until [`Circuits::follow`] has looked.
    pub fn new(broker: Broker, clock: Clock, worker: WorkerId, rule: Circuit) -> Self {
        Self {
            broker,
            clock,
            worker,
            rule,
            cells: RwLock::default(),
            changed: Notify::new(),
        }
    }

    /// How a model's circuit stands, as far as is known here; asks nobody.
    pub fn health(&self, platform: &PlatformName, model: &str) -> Health {
        self.known(platform, model)
            .map_or(Health::Closed, |cell| cell.health(self.clock.now()))
    }

    /// Leave to call a model: always while its circuit is closed; to one caller of all workers while it
    /// is half-open; else `None`.
    pub async fn pass(&self, platform: &PlatformName, model: &str) -> Option<Pass<'_>> {
        let cell = self.cell(platform, model);
        match cell.health(self.clock.now()) {
            Health::Closed => Some(Pass::call(self, cell)),
            Health::Open { .. } => None,
            Health::HalfOpen => self.probe(cell).await,
        }
    }

    async fn probe(&self, cell: Arc<Cell>) -> Option<Pass<'_>> {
        if !cell.begin_probe(self.clock.now()) {
            return None;
        }
        // Dropped on any other way out, it lets the next ask.
        let pass = Pass::probe(self, cell.clone());
        match self.claim(&cell).await {
            Ok(Claim::Yes) => Some(pass),
            Ok(Claim::Closed) => {
                cell.close();
                Some(Pass::call(self, cell))
            }
            Ok(Claim::Open(until)) => {
                cell.open(until, None);
                None
            }
            Ok(Claim::Taken(claimed)) => {
                cell.claimed(claimed);
                None
            }
            Err(error) => {
                tracing::warn!(circuit = %cell.name, "no probe: {error}");
                None
            }
        }
    }

    async fn claim(&self, cell: &Cell) -> Result<Claim, BrokerError> {
        self.broker
            .claim_probe(&cell.name, &self.worker, self.clock.now(), CLAIM)
            .await
    }

    /// Hears a request of the control channel; other than `circuit …` are not for it.
    pub fn obey(&self, request: &str) {
        if request.starts_with("circuit ") {
            self.look_soon();
        }
    }

    /// Has it looked at soon how the circuits stand.
    pub fn look_soon(&self) {
        self.changed.notify_one();
    }

    /// Keeps up with the other workers until `stop`.
    pub async fn follow(&self, stop: CancellationToken) {
        let mut beat = 0_u32;
        // What the others know already is looked at at once.
        self.look_soon();
        loop {
            let told = tokio::select! {
                () = tokio::time::sleep(TELL_EVERY) => false,
                () = self.changed.notified() => true,
                () = stop.cancelled() => return,
            };
            beat = beat.wrapping_add(1);
            if let Err(error) = self.keep_up(told || beat.is_multiple_of(LOOK_EVERY)).await {
                tracing::warn!("circuits: {error}");
            }
        }
    }

    async fn keep_up(&self, look: bool) -> Result<(), BrokerError> {
        for cell in self.all() {
            let calls = cell.take_successes();
            if calls > 0 && cell.is_watched() {
                self.count(&cell, calls, None).await?;
            }
        }
        if look { self.look().await } else { Ok(()) }
    }

    /// Sees how the circuits stand, and renews the claims of probes that are on their way.
    async fn look(&self) -> Result<(), BrokerError> {
        let reports: HashMap<CircuitName, _> = self
            .broker
            .circuits()
            .await?
            .into_iter()
            .map(|report| (report.name, report.open))
            .collect();
        for name in reports.keys() {
            self.cell(&name.platform, &name.model);
        }
        for cell in self.all() {
            match reports.get(&cell.name) {
                Some(Some(open)) => cell.open(open.until, open.probing_until),
                Some(None) => cell.watch(),
                None => cell.close(),
            }
            if cell.is_probing() {
                // What it says is the same as what was just seen.
                let _claim = self.claim(&cell).await?;
            }
            cell.measure(self.clock.now());
        }
        Ok(())
    }

    /// Tells what calls came to. Whether the circuit is open now.
    async fn count(
        &self,
        cell: &Cell,
        calls: u64,
        failed: Option<(u64, ErrorClass)>,
    ) -> Result<bool, BrokerError> {
        let counts = Counts {
            at: self.clock.now(),
            calls,
            failed,
        };
        let counted = self
            .broker
            .count_calls(&cell.name, counts, &self.rule)
            .await?;
        if failed.is_some() {
            cell.watch();
        }
        if let Some(until) = counted.open_until {
            cell.open(until, None);
        }
        if counted.opened {
            let class = failed.map_or("", |(_, class)| class.as_str());
            tracing::warn!(circuit = %cell.name, class, "opened: too many calls failed");
            cell.count_opening();
        }
        Ok(counted.open_until.is_some())
    }

    /// Ends this worker's probe.
    async fn probed(&self, cell: &Cell, failed: Option<ErrorClass>) -> Result<(), BrokerError> {
        let until = self
            .broker
            .end_probe(
                &cell.name,
                &self.worker,
                self.clock.now(),
                failed,
                &self.rule,
            )
            .await?;
        if let Some(until) = until {
            cell.open(until, None);
        } else {
            tracing::info!(circuit = %cell.name, "closed: a call went well");
            cell.close();
        }
        Ok(())
    }

    fn known(&self, platform: &PlatformName, model: &str) -> Option<Arc<Cell>> {
        let cells = self.cells.read().unwrap_or_else(PoisonError::into_inner);
        cells.get(platform)?.get(model).cloned()
    }

    fn cell(&self, platform: &PlatformName, model: &str) -> Arc<Cell> {
        self.known(platform, model).unwrap_or_else(|| {
            let mut cells = self.cells.write().unwrap_or_else(PoisonError::into_inner);
            let models = cells.entry(platform.clone()).or_default();
            let new = || {
                Arc::new(Cell::new(CircuitName {
                    platform: platform.clone(),
                    model: model.to_owned(),
                }))
            };
            models.entry(model.to_owned()).or_insert_with(new).clone()
        })
    }

    fn all(&self) -> Vec<Arc<Cell>> {
        let cells = self.cells.read().unwrap_or_else(PoisonError::into_inner);
        cells.values().flat_map(HashMap::values).cloned().collect()
    }
}

impl std::fmt::Debug for Circuits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let now: DateTime<Utc> = self.clock.now();
        f.debug_map()
            .entries(
                self.all()
                    .iter()
                    .map(|cell| (cell.name.to_string(), cell.health(now))),
            )
            .finish()
    }
}

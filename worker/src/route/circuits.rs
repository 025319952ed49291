//! Circuit breakers of the models, as this worker knows them.
//!
//! Redis decides for all workers together (`circuit_*.lua`). A call to a healthy model costs an atomic
//! addition here. Failures are reported at once; successes every half second, and only for models with a
//! recent failure.

mod cell;
mod permit;

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use chrono::{DateTime, Utc};
use longshore_broker::{Broker, BrokerError, CircuitName, Claim, Counts};
use longshore_policy::{catalog::Catalog, limits::Circuit};
use longshore_protocol::{call::ErrorClass, id::WorkerId, platform::PlatformName};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::cell::Cell;
pub use self::{cell::CircuitState, permit::CallPermit};
use crate::{clock::Clock, log::utc_time};

/// How often successes are reported. The shortest window of the script is twice as long.
const REPORT_EVERY: Duration = Duration::from_millis(500);

/// All circuits are refreshed with every second report, in case a control message was lost.
const REFRESH_EVERY_REPORTS: u32 = 2;

/// How long a claim on the probe lasts. A refresh renews it, so that only a dead worker's claim expires.
const PROBE_CLAIM: Duration = Duration::from_secs(3);

/// The circuits, as this worker knows them.
pub struct Circuits {
    broker: Broker,
    clock: Clock,
    worker: WorkerId,
    rule: Circuit,
    cells: RwLock<HashMap<PlatformName, HashMap<String, Arc<Cell>>>>,
    refresh_requested: Notify,
}

impl Circuits {
    /// All circuits closed, until [`Circuits::follow`] has refreshed them.
    pub fn new(broker: Broker, clock: Clock, worker: WorkerId, rule: Circuit) -> Self {
        Self {
            broker,
            clock,
            worker,
            rule,
            cells: RwLock::default(),
            refresh_requested: Notify::new(),
        }
    }

    /// The state of a model's circuit as known here. Sends nothing.
    pub fn state(&self, platform: &PlatformName, model: &str) -> CircuitState {
        self.known(platform, model)
            .map_or(CircuitState::Closed, |cell| cell.state(self.clock.now()))
    }

    /// A permit to call a model: always while its circuit is closed; for one caller of all workers while it
    /// is half-open; never while it is open.
    pub async fn permit(&self, platform: &PlatformName, model: &str) -> Option<CallPermit<'_>> {
        let cell = self.cell(platform, model);
        match cell.state(self.clock.now()) {
            CircuitState::Closed => Some(CallPermit::regular(self, cell)),
            CircuitState::Open { .. } => None,
            // Boxed: most circuits are closed.
            CircuitState::HalfOpen => Box::pin(self.claim_permit(cell)).await,
        }
    }

    async fn claim_permit(&self, cell: Arc<Cell>) -> Option<CallPermit<'_>> {
        if !cell.begin_probe(self.clock.now()) {
            return None;
        }
        // On every path that does not return it, its drop lets the next caller claim the probe.
        let permit = CallPermit::probe(self, cell.clone());
        match self.claim_probe(&cell).await {
            Ok(Claim::Yes) => Some(permit),
            Ok(Claim::Closed) => {
                cell.close();
                Some(CallPermit::regular(self, cell))
            }
            Ok(Claim::Open(until)) => {
                cell.open(until, None);
                None
            }
            Ok(Claim::Taken(until)) => {
                cell.set_claimed(until);
                None
            }
            Err(error) => {
                let CircuitName { platform, model } = &cell.name;
                tracing::warn!(%platform, model, "circuit probe not claimed: {error}");
                None
            }
        }
    }

    async fn claim_probe(&self, cell: &Cell) -> Result<Claim, BrokerError> {
        self.broker
            .circuits()
            .claim_probe(&cell.name, &self.worker, self.clock.now(), PROBE_CLAIM)
            .await
    }

    /// Makes [`follow`](Self::follow) refresh at once.
    pub fn refresh_soon(&self) {
        self.refresh_requested.notify_one();
    }

    /// Reports successes and refreshes the circuits until `stop`.
    pub async fn follow(&self, stop: CancellationToken) {
        let mut reports = 0_u32;
        // Start with what the other workers know already.
        self.refresh_soon();
        loop {
            let is_requested = tokio::select! {
                () = tokio::time::sleep(REPORT_EVERY) => false,
                () = self.refresh_requested.notified() => true,
                () = stop.cancelled() => return,
            };
            reports = reports.wrapping_add(1);
            let refresh = is_requested || reports.is_multiple_of(REFRESH_EVERY_REPORTS);
            if let Err(error) = self.synchronize(refresh).await {
                tracing::warn!(
                    "circuit synchronization failed: {error}; retrying in {REPORT_EVERY:?}"
                );
            }
        }
    }

    async fn synchronize(&self, refresh: bool) -> Result<(), BrokerError> {
        for cell in self.all() {
            let calls = cell.take_successes();
            if calls > 0 && cell.is_watched() {
                self.report(&cell, calls, None).await?;
            }
        }
        if refresh {
            self.refresh().await
        } else {
            Ok(())
        }
    }

    /// Reads the state of all circuits, and renews the claims of probes in progress.
    async fn refresh(&self) -> Result<(), BrokerError> {
        let reports: HashMap<CircuitName, _> = self
            .broker
            .circuits()
            .list()
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
                // The reply repeats the state that was just read.
                let _claim = self.claim_probe(&cell).await?;
            }
        }
        Ok(())
    }

    /// Reports calls and their failures. Returns whether the circuit is open now.
    async fn report(
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
            .circuits()
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
            let CircuitName { platform, model } = &cell.name;
            tracing::warn!(
                %platform,
                model,
                error_class = class,
                until = counted.open_until.map(utc_time),
                "circuit opened: too many calls failed"
            );
            cell.count_opening();
        }
        Ok(counted.open_until.is_some())
    }

    /// Reports the result of this worker's probe.
    async fn report_probe(
        &self,
        cell: &Cell,
        failed: Option<ErrorClass>,
    ) -> Result<(), BrokerError> {
        let until = self
            .broker
            .circuits()
            .end_probe(
                &cell.name,
                &self.worker,
                self.clock.now(),
                failed,
                &self.rule,
            )
            .await?;
        let CircuitName { platform, model } = &cell.name;
        if let Some(until) = until {
            tracing::info!(
                %platform,
                model,
                error_class = failed.map(ErrorClass::as_str),
                until = utc_time(until),
                "circuit stays open: the probe failed"
            );
            cell.open(until, None);
        } else {
            tracing::info!(%platform, model, "circuit closed: the probe succeeded");
            cell.close();
        }
        Ok(())
    }

    /// Sets the gauges of the circuits whose models the catalog has; the others vanish.
    pub(crate) fn publish_states(&self, catalog: &Catalog) {
        let now = self.clock.now();
        for cell in self.all() {
            let CircuitName { platform, model } = &cell.name;
            if catalog.entry(platform, model).is_some() {
                cell.publish_state(now);
            }
        }
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
                    .map(|cell| (cell.name.to_string(), cell.state(now))),
            )
            .finish()
    }
}

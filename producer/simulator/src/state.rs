//! State shared by all connections.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;

use super::{
    Settings,
    accounts::{Account, Accounts},
    counts::Load,
    faults::Faults,
    invoice::Invoice,
    script::{Play, Script, ScriptReport},
    stats::{Flight, Stats},
};

/// The simulator's memory.
#[derive(Debug)]
pub(super) struct State {
    settings: Settings,
    clock: Clock,
    pub(super) invoice: Invoice,
    pub(super) accounts: Accounts,
    load: Load,
    /// How often each prompt with `fail_first` has failed.
    failed: Mutex<HashMap<Box<str>, u32>>,
    /// Whether held calls are released.
    released: watch::Sender<bool>,
    serial: AtomicU64,
    /// The requests to be kept, newest last.
    kept: Mutex<VecDeque<KeptRequest>>,
    script: RwLock<Option<Arc<Play>>>,
}

/// How many requests are kept.
const KEPT: usize = 1000;

/// A request whose prompt asked for it to be kept, or one of a script.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KeptRequest {
    /// The provider that it was sent to.
    pub provider: String,
    /// The model that was asked.
    pub model: String,
    /// The call's `Idempotency-Key`, or nothing.
    pub attempt_id: String,
    /// The rule of the script that it matched.
    pub rule: Option<String>,
    pub body: Value,
}

impl State {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            clock: Clock::start(),
            invoice: Invoice::default(),
            accounts: Accounts::new(settings.limits),
            load: Load::default(),
            failed: Mutex::default(),
            released: watch::Sender::new(false),
            serial: AtomicU64::new(0),
            kept: Mutex::default(),
            script: RwLock::default(),
        }
    }

    /// A number that no other answer has.
    pub(super) fn serial(&self) -> u64 {
        self.serial.fetch_add(1, Relaxed)
    }

    /// Now, in microseconds since 1970; it never goes back.
    pub(super) fn now_us(&self) -> u64 {
        self.clock.now_us()
    }

    /// Begins a call of the account.
    pub(super) fn begin(&self, account: Arc<Account>) -> Flight<'_> {
        Flight::begin(&self.load, account)
    }

    pub(super) fn stats(&self) -> Stats {
        Stats::collect(&self.accounts, &self.load)
    }

    /// How long an answer takes, for a `draw` of the jitter that is uniform in 0..1.
    pub(super) fn latency(&self, faults: &Faults, draw: impl FnOnce() -> f64) -> Duration {
        let latency = faults
            .latency_ms
            .map_or(self.settings.latency, Duration::from_millis);
        let jitter = faults
            .jitter_ms
            .map_or(self.settings.jitter, Duration::from_millis);
        if jitter.is_zero() {
            return latency;
        }
        latency.saturating_add(jitter.mul_f64(draw()))
    }

    /// Whether this call is one of the first `count` calls with this prompt.
    pub(super) fn fails(&self, prompt: &str, count: u32) -> bool {
        let mut failed = lock(&self.failed);
        let so_far = failed.entry(prompt.into()).or_default();
        let fails = *so_far < count;
        *so_far += u32::from(fails);
        fails
    }

    /// Releases the calls that are held; until the next reset no call is held.
    pub(super) fn release(&self) {
        self.released.send_replace(true);
    }

    /// Waits until held calls are released.
    pub(super) async fn released(&self) {
        // The sender lives as long as the state.
        drop(self.released.subscribe().wait_for(|is| *is).await);
    }

    /// The script in use.
    pub(super) fn script(&self) -> Option<Arc<Play>> {
        let script = self.script.read().unwrap_or_else(PoisonError::into_inner);
        script.clone()
    }

    /// Puts a script in the place of the one in use, and begins with it.
    pub(super) fn set_script(&self, script: Script) {
        self.play(Play::begin(script));
    }

    fn play(&self, play: Play) {
        let mut script = self.script.write().unwrap_or_else(PoisonError::into_inner);
        *script = Some(Arc::new(play));
    }

    pub(super) fn script_report(&self) -> ScriptReport {
        self.script()
            .map(|script| script.report())
            .unwrap_or_default()
    }

    /// Forgets bills, counts, faults, failures and kept requests; limits are those of the start, and the script begins
    /// again.
    pub(super) fn reset(&self) {
        if let Some(script) = self.script() {
            self.play(script.again());
        }
        self.invoice.clear();
        self.accounts.clear();
        self.load.clear();
        self.released.send_replace(false);
        lock(&self.failed).clear();
        lock(&self.kept).clear();
    }

    /// Keeps a request, and drops the oldest if there are too many.
    pub(super) fn keep(&self, request: KeptRequest) {
        let mut kept = lock(&self.kept);
        kept.push_back(request);
        if kept.len() > KEPT {
            kept.pop_front();
        }
    }

    /// The requests that were kept, in order.
    pub(super) fn kept(&self) -> Vec<KeptRequest> {
        lock(&self.kept).iter().cloned().collect()
    }
}

/// The time since 1970 at the start, advanced by a monotonic clock: setting the machine's clock changes no
/// limit.
#[derive(Debug)]
struct Clock {
    started: Instant,
    started_us: u64,
}

impl Clock {
    fn start() -> Self {
        let since_1970 = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            started: Instant::now(),
            started_us: micros(since_1970),
        }
    }

    fn now_us(&self) -> u64 {
        self.started_us + micros(self.started.elapsed())
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Now, in seconds since 1970.
pub(super) fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

/// No code panics while it holds a lock; if it did, the counts would still be usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

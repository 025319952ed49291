//! Gates: a step whose job runs a command of the worker's configuration instead of a call to a model.

use std::time::{Duration, Instant};

use longshore_policy::{capabilities::Capability, gates::Gate};
use longshore_protocol::{
    call::Answer,
    chain::{GateName, GateReason, GateResult},
};
use longshore_service::instruments::{GATE_DURATION, GATES};

use crate::{
    command::{Finished, Process, Program, Stop},
    context::Context,
    disposition::{Discard, Disposition, LOOK_AGAIN, WaitsFor},
    job::Job,
};

/// Why a step is given up whose gate failed.
const GATE_FAILED: &str = "gate_failed";

/// Why a step is given up whose gate the configuration does not have.
const UNKNOWN_GATE: &str = "unknown_gate";

/// What programs say that run out of memory.
const OUT_OF_MEMORY: &[&str] = &[
    "out of memory",
    "cannot allocate memory",
    "memory allocation of",
    "memoryerror",
    "bad_alloc",
    "outofmemoryerror",
];

/// How a gate ended, and what its command printed.
#[derive(Debug)]
pub(crate) struct FinishedGate {
    pub(crate) result: GateResult,
    pub(crate) output: String,
}

/// A step that runs a gate.
pub(crate) struct GateStep {
    name: GateName,
}

impl GateStep {
    /// The gate that the job is to run, if it is such a job.
    pub(crate) fn to_run(job: &Job) -> Option<Self> {
        let progress = job.progress();
        let name = progress.checkpoint.step.as_ref()?.gate.clone()?;
        Some(Self { name })
    }

    pub(crate) async fn run(&self, job: &Job, context: &Context) -> Disposition {
        let config = &context.config;
        if !config.capabilities.contains(&Capability::Gates) {
            let waits_for = WaitsFor::Worker(Capability::Gates);
            return Disposition::looked_at_again(waits_for, context.clock.now());
        }
        let Some(gate) = config.gates.get(&self.name) else {
            return self.unknown(context).into();
        };
        if context.drain.is_cancelled() {
            return Disposition::HandedBack;
        }
        let begun = Instant::now();
        job.progress().checkpoint.started_at = Some(context.clock.now());
        let stop = async {
            tokio::select! {
                () = tokio::time::sleep(gate.timeout) => Stop::Timeout,
                () = job.cancelled.cancelled() => Stop::Cancelled,
                () = context.abort.cancelled() => Stop::HandedBack,
            }
        };
        let process = match Process::start(program(gate)) {
            Ok(process) => process,
            Err(error) => {
                tracing::warn!(job_id = %job.id(), "gate not started: {error}; retrying in {LOOK_AGAIN:?}");
                return Disposition::looked_at_again(WaitsFor::Retry, context.clock.now());
            }
        };
        let finished = process.finish(stop).await;
        match finished.stopped {
            Some(Stop::Cancelled) => Disposition::cancelled_on_request(),
            Some(Stop::HandedBack) => Disposition::HandedBack,
            _ => self.settled(job, gate, &finished, begun.elapsed()),
        }
    }

    fn unknown(&self, context: &Context) -> Discard {
        let known: Vec<&str> = context.config.gates.keys().map(GateName::as_str).collect();
        let known = match known.as_slice() {
            [] => "the configuration of this worker has no gates".to_owned(),
            known => format!("expected one of {}", known.join(", ")),
        };
        Discard::new(
            UNKNOWN_GATE,
            format!("there is no gate `{}`; {known}", self.name),
        )
    }

    /// The disposition of a job whose gate has run.
    fn settled(
        &self,
        job: &Job,
        gate: &Gate,
        finished: &Finished,
        duration: Duration,
    ) -> Disposition {
        let output = finished.output.text();
        let exit_code = finished.exit_code();
        let result = GateResult {
            gate: self.name.clone(),
            exit_code,
            reason: reason(gate, finished, exit_code, &output),
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            output_bytes: finished.output.bytes(),
            warnings: finished.output.warnings(),
        };
        let outcome = match result.reason {
            Some(reason) => reason.as_str(),
            None if result.passed() => "passed",
            None => "failed",
        };
        GATES.add([self.name.as_str(), outcome], 1);
        GATE_DURATION.record([self.name.as_str()], duration);
        let disposition = if result.passed() {
            Disposition::Answered(Answer::without_call(output.clone()))
        } else {
            Discard::new(GATE_FAILED, failure(&result, gate, &output)).into()
        };
        job.progress().gate = Some(Box::new(FinishedGate { result, output }));
        disposition
    }
}

fn program(gate: &Gate) -> Program<'_> {
    let env = gate.env.iter();
    Program {
        command: &gate.command,
        working_dir: &gate.working_dir,
        env: env
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect(),
        input: None,
        max_output: gate.max_output,
        max_memory: gate.max_memory,
        warnings: gate.warnings.clone(),
    }
}

fn reason(
    gate: &Gate,
    finished: &Finished,
    exit_code: Option<i32>,
    output: &str,
) -> Option<GateReason> {
    match finished.stopped {
        Some(Stop::Timeout) => return Some(GateReason::Timeout),
        Some(Stop::Output) => return Some(GateReason::Output),
        _ => {}
    }
    let output = output.to_lowercase();
    let is_short =
        gate.max_memory.is_some() && OUT_OF_MEMORY.iter().any(|word| output.contains(word));
    match exit_code {
        Some(0) => (finished.output.warnings() > 0).then_some(GateReason::Warnings),
        _ if is_short => Some(GateReason::Memory),
        Some(_) => None,
        None => Some(GateReason::Signal),
    }
}

/// Why the gate failed, and the last line that its command printed.
fn failure(result: &GateResult, gate: &Gate, output: &str) -> String {
    let why = match (result.reason, result.exit_code) {
        (Some(GateReason::Timeout), _) => format!("killed after {} s", gate.timeout.as_secs_f64()),
        (Some(GateReason::Output), _) => {
            format!("killed: it printed more than {} bytes", gate.max_output)
        }
        (Some(GateReason::Warnings), _) => format!("warnings: {}", result.warnings),
        (Some(GateReason::Memory), _) => "out of memory".to_owned(),
        (_, Some(code)) => format!("exit code {code}"),
        (_, None) => "ended by a signal".to_owned(),
    };
    let last = output.lines().rev().find(|line| !line.trim().is_empty());
    let last = last.map_or_else(String::new, |line| format!("; last line: {}", line.trim()));
    format!("gate `{}` failed: {why}{last}", result.gate)
}

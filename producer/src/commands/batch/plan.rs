//! What a batch adds to its tasks: one limit and one chain for all of them.

use longshore::Job;
use longshore_shared::envelope::Limits;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::error::CommandError;

/// The jobs of a batch.
#[derive(Debug)]
pub(super) struct Plan {
    /// The chain that their cost belongs to, but for those that name another.
    pub(super) chain: String,
    pub(super) jobs: Vec<Job>,
}

impl Plan {
    pub(super) fn of(
        tasks: Vec<Job>,
        chain: Option<String>,
        parallel: u32,
        fallback: bool,
    ) -> Self {
        let name = name(&tasks);
        let chain = chain.unwrap_or_else(|| format!("batch_{name}"));
        let key = format!("batch:{name}");
        let jobs = tasks
            .into_iter()
            .map(|mut job| {
                // A task's own word goes before the batch's.
                if !job.has("concurrency_key") {
                    job = job.concurrency(&key, parallel);
                }
                if !job.has("fallback") && !fallback {
                    job = job.fallback(false);
                }
                if !job.has("chain_id") {
                    job = job.chain_id(&chain);
                }
                job
            })
            .collect();
        Self { chain, jobs }
    }

    /// The tasks alone were right; what is wrong now came with the options, or is too much together.
    pub(super) fn check(&self, limits: &Limits) -> Result<(), CommandError> {
        for (index, job) in self.jobs.iter().enumerate() {
            job.check(limits).map_err(|wrong| {
                CommandError::Input(match wrong.field.as_deref() {
                    Some("chain_id") => format!("--chain-id: {}", wrong.message),
                    _ => format!(
                        "task {} (index {index}), with what the batch adds to it: {wrong}",
                        index + 1
                    ),
                })
            })?;
        }
        Ok(())
    }
}

/// The batch's name: a new one, unless its tasks have ids of their own. Such tasks are meant to be safe to
/// submit again, and the name is part of what they say: it must be the same the second time.
fn name(tasks: &[Job]) -> String {
    tasks.iter().find_map(Job::own_id).map_or_else(
        || Uuid::now_v7().to_string(),
        |id| {
            let digest = format!("{:x}", Sha256::digest(id));
            digest.chars().take(32).collect()
        },
    )
}

#[cfg(test)]
mod tests {
    use insta::{assert_snapshot, with_settings};

    use super::*;

    fn written(plan: &Plan) -> String {
        plan.jobs
            .iter()
            .map(Job::to_json)
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn task(text: &str) -> Job {
        Job::from_json(text, &Limits::default()).unwrap()
    }

    #[test]
    fn tasks_get_the_limit_and_the_chain_of_their_batch() {
        let own = r#"{"prompt":"b","concurrency_key":"mine","fallback":true,"chain_id":"other"}"#;
        let plan = Plan::of(vec![Job::prompt("a"), task(own)], None, 5, false);
        plan.check(&Limits::default()).unwrap();
        with_settings!({filters => [(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID")]}, {
            assert_snapshot!(format!("{}\n{}", plan.chain, written(&plan)), @r#"
            batch_UUID
            {"chain_id":"batch_UUID","concurrency_key":"batch:UUID","concurrency_limit":5,"fallback":false,"prompt":"a"}
            {"chain_id":"other","concurrency_key":"mine","fallback":true,"prompt":"b"}
            "#);
        });
    }

    #[test]
    fn with_fallback_nothing_is_said_of_it() {
        let plan = Plan::of(vec![Job::prompt("a")], Some("c".to_owned()), 5, true);
        assert!(!plan.jobs[0].has("fallback"));
        assert_eq!(plan.chain, "c");
    }

    #[test]
    fn tasks_with_ids_say_the_same_when_they_are_submitted_again() {
        let plan = || {
            Plan::of(
                vec![Job::prompt("x"), Job::prompt("a").id("inv-1")],
                None,
                5,
                false,
            )
        };
        assert_eq!(written(&plan()), written(&plan()));
        let without = || Plan::of(vec![Job::prompt("x")], None, 5, false);
        assert_ne!(written(&without()), written(&without()));
    }

    #[test]
    fn a_wrong_chain_is_the_options_fault() {
        let plan = Plan::of(vec![Job::prompt("a")], Some(String::new()), 5, true);
        let error = plan.check(&Limits::default()).unwrap_err().to_string();
        assert!(
            error.starts_with("--chain-id: expected text of 1 to 200"),
            "{error}"
        );
    }
}

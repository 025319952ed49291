//! Acts of people.

use longshore_protocol::{
    event::{ActOutcome, AuditRecord, Event},
    id::ActId,
};

use super::{
    facts::{time, version},
    postgres::Database,
};
use crate::{AuditFilter, Prunable};

fn act(command: &str, outcome: ActOutcome, seconds: u64) -> AuditRecord {
    AuditRecord {
        act_id: ActId::fresh(),
        at: time(seconds),
        actor: "ann@desk".to_owned(),
        command: command.to_owned(),
        what: "--tenant acme".to_owned(),
        affected: (outcome != ActOutcome::Begun).then_some(3),
        outcome,
        error: None,
    }
}

fn event(act: &AuditRecord) -> Event {
    Event {
        audit: Some(Box::new(act.clone())),
        ..Event::default()
    }
}

#[tokio::test]
async fn an_act_is_one_row_in_whatever_order_its_events_come() {
    let database = Database::migrated().await;
    let ledger = &database.ledger;
    let done = act("jobs cancel", ActOutcome::Done, 10);
    let begun = AuditRecord {
        outcome: ActOutcome::Begun,
        affected: None,
        ..done.clone()
    };
    let killed = act("dlq replay", ActOutcome::Begun, 20);
    for batch in [
        vec![&begun],
        vec![&done, &killed],
        vec![&begun, &done],
        vec![&begun],
    ] {
        let events: Vec<_> = (1..)
            .zip(batch)
            .map(|(seq, act)| (version(seq), event(act)))
            .collect();
        ledger.record(&events).await.unwrap();
    }
    let find = async |command: Option<&str>, actor: Option<&str>| {
        let filter = AuditFilter {
            since: time(5),
            actor: actor.map(str::to_owned),
            command: command.map(str::to_owned),
            limit: 10,
        };
        ledger.acts(&filter).await.unwrap()
    };
    assert_eq!(find(None, None).await, [killed.clone(), done.clone()]);
    assert_eq!(find(Some("jobs"), None).await, [done]);
    assert_eq!(find(Some("dlq replay"), Some("ann@desk")).await.len(), 1);
    assert_eq!(find(Some("dlq"), Some("bob")).await, []);
    assert_eq!(ledger.prune(Prunable::Audit, time(15), 9).await.unwrap(), 1);
    assert_eq!(find(None, None).await, [killed]);
}

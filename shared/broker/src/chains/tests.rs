use super::*;

fn fields(pairs: &[(&str, &str)]) -> Fields {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Fields(pairs.iter().map(owned).collect())
}

fn view(state: ChainState, pairs: &[(&str, &str)], running: &[&str], ready: &[&str]) -> ChainView {
    let mut all = vec![
        ("kind", "chain"),
        ("state", state.as_str()),
        ("begun", "1000"),
    ];
    all.extend_from_slice(pairs);
    let fields = fields(&all);
    let texts = |of: &[&str]| of.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    ChainView {
        head: fields.head(&ChainId::parse("c").unwrap()).unwrap(),
        tally: StepCounts::default(),
        in_flight: 0,
        failed: Vec::new(),
        counts: fields.counts(),
        running: steps_of(&texts(running)),
        ready: steps_of(&texts(ready)),
    }
}

fn state(view: &ChainView, step: &str) -> StepState {
    view.step(&StepName::parse(step).unwrap()).state
}

#[test]
fn a_steps_state_is_what_is_known_of_it() {
    let pairs = [
        ("s:a", "completed"),
        ("t:each", "3"),
        ("d:each", "1"),
        ("o:each", "1"),
        ("l:last", "1"),
    ];
    let going = view(
        ChainState::Running,
        &pairs,
        &["b", "wide/4"],
        &["c", "each/2"],
    );
    let states = ["a", "b", "wide", "c", "each", "last", "unknown"].map(|step| state(&going, step));
    let expected = [
        StepState::Completed,
        StepState::Running,
        StepState::Running,
        StepState::Ready,
        StepState::Running,
        StepState::Waiting,
        StepState::Waiting,
    ];
    assert_eq!(states, expected);
    let each = going.step(&StepName::parse("each").unwrap());
    assert_eq!((each.items, each.ended, each.completed), (Some(3), 1, 1));
}

#[test]
fn what_never_ran_is_skipped_once_the_chain_has_ended() {
    let ended = view(
        ChainState::Failed,
        &[("s:a", "failed"), ("l:last", "1")],
        &[],
        &["c"],
    );
    let states = ["a", "c", "last"].map(|step| state(&ended, step));
    assert_eq!(
        states,
        [StepState::Failed, StepState::Skipped, StepState::Skipped]
    );
}

#[test]
fn a_chain_is_read_as_it_was_written() {
    let id = ChainId::parse("c").unwrap();
    assert_eq!(fields(&[]).head(&id), None);
    let whole = [
        ("kind", "batch"),
        ("state", "completed"),
        ("name", ""),
        ("steps", "12"),
        ("begun", "1000"),
        ("ended", "2500"),
        ("nanos", "1200000"),
    ];
    let head = fields(&whole).head(&id).unwrap();
    assert_eq!(head.cost, "0.0012".parse().unwrap());
    assert_eq!((head.record.name, head.record.ended_ms), (None, Some(2500)));
    let failed = failed(vec![
        ("each/10".to_owned(), "failed c/each/10".to_owned()),
        ("each/9".to_owned(), "cancelled inv-9".to_owned()),
        ("odd".to_owned(), "?".to_owned()),
    ]);
    let named: Vec<_> = failed
        .iter()
        .map(|one| (one.instance.to_string(), one.job.to_string()))
        .collect();
    let expected = [("each/9", "inv-9"), ("each/10", "c/each/10")];
    assert_eq!(
        named,
        expected.map(|(instance, job)| (instance.to_owned(), job.to_owned()))
    );
}

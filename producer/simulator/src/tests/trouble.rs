//! Broken connections and faults.

use super::*;

#[tokio::test]
async fn a_dropped_connection_has_no_answer_but_may_have_a_bill() {
    let rig = Rig::start();
    assert!(
        rig.openai("[[drop]]")
            .send()
            .await
            .unwrap_err()
            .is_request()
    );
    assert_eq!(rig.simulator.invoice(), []);
    assert!(
        rig.anthropic("[[drop_billed]]")
            .send()
            .await
            .unwrap_err()
            .is_request()
    );
    let bills = rig.simulator.invoice();
    assert_eq!((bills.len(), bills[0].answered), (1, false));
    assert_eq!(rig.simulator.stats().dropped, 2);
    assert_eq!(
        rig.openai("still there?").send().await.unwrap().status(),
        200
    );
}

#[tokio::test]
async fn a_client_that_leaves_has_been_billed() {
    let rig = Rig::start();
    for prompt in ["[[hang]]", "[[latency=60000]]"] {
        let call = rig
            .gemini(prompt)
            .timeout(Duration::from_millis(100))
            .send()
            .await;
        assert!(call.unwrap_err().is_timeout());
    }
    let start = Instant::now();
    while rig.simulator.stats().in_flight > 0 {
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "the simulator did not notice"
        );
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(rig.simulator.stats().abandoned, 2);
    let bills = rig.simulator.invoice();
    assert!(bills.len() == 2 && bills.iter().all(|bill| !bill.answered));
}

#[tokio::test]
async fn faults_are_checked_kept_and_applied_to_their_provider() {
    let rig = Rig::start();
    for (faults, names) in [
        (json!({"rate_bogus": 1}), "rate_bogus"),
        (json!({"rate_429": 2}), "rate_429"),
        (json!({"provider": 7}), "provider is 7"),
        (json!({"for_ms": -1}), "-1"),
        (json!([]), "map"),
    ] {
        let (status, body) = rig.faults(&faults).await;
        let error = body["error"].as_str().unwrap_or_default().to_owned();
        assert!(status == 400 && error.contains(names), "{faults}: {body}");
    }
    let faults =
        json!({"provider": "gemini", "rate_429": 0.5, "rate_503": 0.5, "retry_after_s": 3});
    assert_eq!(rig.faults(&faults).await.0, 200);
    assert_eq!(rig.get("/faults").await["gemini"]["rate_429"], 0.5);
    let mut seen = HashSet::new();
    for _ in 0..40 {
        let (status, body) = read(rig.gemini("hi").send().await.unwrap()).await;
        assert!(
            body["error"]["details"]
                .to_string()
                .contains(r#""retryDelay":"3s""#)
        );
        seen.insert(status);
    }
    assert_eq!(seen, HashSet::from([429, 503]));
    assert_eq!(rig.openai("hi").send().await.unwrap().status(), 200);
    // Faults replace one another.
    rig.faults(&json!({"latency_ms": 50})).await;
    let start = Instant::now();
    assert_eq!(rig.gemini("hi").send().await.unwrap().status(), 200);
    assert!(start.elapsed() >= Duration::from_millis(50));
}

#[tokio::test]
async fn a_held_call_is_answered_when_it_is_released() {
    let rig = Rig::start();
    let release = async {
        while rig.simulator.stats().requests == 0 {
            sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(rig.openai("another").send().await.unwrap().status(), 200);
        assert_eq!(rig.simulator.stats().in_flight, 1);
        rig.post("/release").send().await.unwrap()
    };
    let (held, released) = tokio::join!(rig.openai("[[hold]]").send(), release);
    assert_eq!(released.status(), 200);
    assert_eq!(held.unwrap().status(), 200);
    assert_eq!(rig.openai("[[hold]]").send().await.unwrap().status(), 200);
}

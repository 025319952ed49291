//! The pushed configuration of all processes.

use longshore_protocol::control::ControlMessage;

use super::fixture::Fixture;

#[tokio::test]
async fn every_push_has_a_version_and_is_published() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.broker.fleet_config().version().await.unwrap(), 0);
    assert_eq!(
        fixture.broker.fleet_config().get().await.unwrap(),
        (0, None)
    );
    let mut control = fixture.broker.workers().subscribe_control().await.unwrap();

    assert_eq!(
        fixture
            .broker
            .fleet_config()
            .push("grace: 1s\n")
            .await
            .unwrap(),
        1
    );
    let message = control.next().await.unwrap();
    assert_eq!(message, ControlMessage::ConfigPushed { version: 1 });
    let (version, pushed) = fixture.broker.fleet_config().get().await.unwrap();
    let pushed = pushed.unwrap();
    assert_eq!((version, pushed.version), (1, 1));
    assert_eq!(pushed.text, "grace: 1s\n");
    let now = fixture.broker.server().time_ms().await.unwrap();
    assert!((now - 60_000..=now).contains(&pushed.pushed_at));

    assert_eq!(
        fixture
            .broker
            .fleet_config()
            .push("grace: 2s\n")
            .await
            .unwrap(),
        2
    );
    let (_, pushed) = fixture.broker.fleet_config().get().await.unwrap();
    assert_eq!(pushed.unwrap().text, "grace: 2s\n");
}

#[tokio::test]
async fn a_withdrawn_configuration_counts_as_a_version() {
    let fixture = Fixture::new().await;
    fixture
        .broker
        .fleet_config()
        .push("grace: 1s\n")
        .await
        .unwrap();
    assert_eq!(fixture.broker.fleet_config().remove().await.unwrap(), 2);
    assert_eq!(
        fixture.broker.fleet_config().get().await.unwrap(),
        (2, None)
    );
    assert_eq!(
        fixture.broker.fleet_config().remove().await.unwrap(),
        3,
        "once more"
    );
    assert_eq!(fixture.broker.fleet_config().version().await.unwrap(), 3);
}

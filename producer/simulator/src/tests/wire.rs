//! Behaviour that only a client of raw bytes sees.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::*;

const BODY: &str = r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]}"#;

fn request(headers: &str, body: &str) -> String {
    format!(
        "POST /openai/v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer k\r\n\
         {headers}\r\n{body}"
    )
}

fn sized(body: &str) -> String {
    request(&format!("Content-Length: {}\r\n", body.len()), body)
}

async fn say(simulator: &Simulator, parts: &[&str]) -> String {
    let mut stream = TcpStream::connect(simulator.addr()).await.unwrap();
    for part in parts {
        stream.write_all(part.as_bytes()).await.unwrap();
        sleep(Duration::from_millis(10)).await;
    }
    let mut answer = Vec::new();
    let mut room = [0; 4096];
    while let Ok(Ok(count @ 1..)) =
        tokio::time::timeout(Duration::from_secs(1), stream.read(&mut room)).await
    {
        answer.extend_from_slice(&room[..count]);
    }
    String::from_utf8(answer).unwrap()
}

fn start() -> Simulator {
    Simulator::start(([127, 0, 0, 1], 0).into(), Settings::default()).unwrap()
}

#[tokio::test]
async fn requests_may_come_in_pieces_and_in_heaps() {
    let simulator = start();
    let one = sized(BODY);
    let (left, right) = one.split_at(one.len() / 2);
    assert!(
        say(&simulator, &[left, right])
            .await
            .starts_with("HTTP/1.1 200 OK\r\n")
    );
    let answers = say(&simulator, &[&one.repeat(3)]).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 3);

    let slow = sized(&BODY.replace("hi", "[[latency=50]]"));
    let dropped = sized(&BODY.replace("hi", "[[drop]]"));
    let answers = say(&simulator, &[&format!("{one}{slow}{dropped}{one}")]).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2);
    assert_eq!(simulator.invoice().len(), 6);
    assert!(simulator.invoice().iter().all(|bill| bill.answered));
}

#[tokio::test]
async fn bodies_may_be_chunked_or_wait_for_leave() {
    let simulator = start();
    let chunked = format!("{:x}\r\n{BODY}\r\n0\r\n\r\n", BODY.len());
    let chunked = request("Transfer-Encoding: chunked\r\n", &chunked);
    assert!(
        say(&simulator, &[&chunked])
            .await
            .starts_with("HTTP/1.1 200 OK\r\n")
    );
    let head = request(
        &format!("Content-Length: {}\r\nExpect: 100-continue\r\n", BODY.len()),
        "",
    );
    let answer = say(&simulator, &[&head, BODY]).await;
    assert!(
        answer.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn nonsense_on_the_wire_is_answered_with_400() {
    let simulator = start();
    assert!(
        say(&simulator, &["hello there\r\n\r\n"])
            .await
            .starts_with("HTTP/1.1 400 ")
    );
    assert_eq!(simulator.stats().requests, 0);
}

#[tokio::test]
async fn stopping_closes_connections_and_frees_the_port() {
    for threads in [0, 2] {
        let settings = Settings {
            threads,
            ..Settings::default()
        };
        let simulator = Simulator::start(([127, 0, 0, 1], 0).into(), settings).unwrap();
        let addr = simulator.addr();
        let mut open = TcpStream::connect(addr).await.unwrap();
        open.write_all(sized(&BODY.replace("hi", "[[hang]]")).as_bytes())
            .await
            .unwrap();
        while simulator.invoice().is_empty() {
            sleep(Duration::from_millis(1)).await;
        }
        simulator.shutdown().await;
        assert!(!matches!(open.read(&mut [0; 1]).await, Ok(1..)));
        assert!(TcpStream::connect(addr).await.is_err());
    }
}

#[tokio::test]
async fn the_page_has_every_endpoint_and_field() {
    let rig = Rig::start();
    let page = include_str!("../../../../docs/SIMULATOR.md");
    let quoted: Vec<&str> = page.split('`').skip(1).step_by(2).collect();
    let endpoints = quoted
        .iter()
        .filter_map(|text| text.split_once(" /"))
        .filter(|(method, _)| matches!(*method, "GET" | "POST"));
    let mut count = 0;
    for (method, path) in endpoints {
        let method = method.parse().unwrap();
        let url = format!("{}/{path}", rig.simulator.url());
        let status = rig
            .client
            .request(method, url)
            .send()
            .await
            .unwrap()
            .status();
        assert!(!matches!(status.as_u16(), 404 | 405), "{path}: {status}");
        count += 1;
    }
    assert!(count > 12, "{count}");

    let fields = [
        serde_json::to_value(Faults::default()).unwrap(),
        serde_json::to_value(Limits::default()).unwrap(),
    ];
    for name in fields
        .iter()
        .flat_map(|one| one.as_object().unwrap().keys())
    {
        assert!(quoted.contains(&name.as_str()), "{name}");
    }
}

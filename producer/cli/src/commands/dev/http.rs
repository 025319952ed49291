//! Minimal HTTP for readiness checks of local processes.

use std::{net::Ipv4Addr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// A process on loopback answers at once unless it hangs.
const LIMIT: Duration = Duration::from_secs(2);

/// Whether a GET of `path` on this loopback port returns 200.
pub(super) async fn is_ok(port: u16, path: &str) -> bool {
    let response = timeout(LIMIT, status(port, path)).await;
    matches!(response, Ok(Ok(200)))
}

async fn status(port: u16, path: &str) -> std::io::Result<u16> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut head = String::new();
    stream.read_to_string(&mut head).await?;
    Ok(head
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .unwrap_or_default())
}

/// Whether a process listens at the host and port of an `http://` URL.
pub(super) async fn listens(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or(rest);
    let port = if url.starts_with("https:") { 443 } else { 80 };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, text)) => (host, text.parse().unwrap_or(port)),
        None => (authority, port),
    };
    let connected = timeout(LIMIT, TcpStream::connect((host, port))).await;
    matches!(connected, Ok(Ok(_)))
}

#[cfg(test)]
mod tests {
    use longshore_broker::task;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn only_a_200_is_ready() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = task::spawn("test server", async move {
            for answer in ["503 Service Unavailable", "200 OK"] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut asked = [0; 128];
                let length = stream.read(&mut asked).await.unwrap();
                assert!(asked[..length].starts_with(b"GET /ready HTTP/1.1\r\n"));
                let text = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n");
                stream.write_all(text.as_bytes()).await.unwrap();
            }
        });
        assert!(!is_ok(port, "/ready").await);
        assert!(is_ok(port, "/ready").await);
        server.await.unwrap();
        assert!(!is_ok(port, "/ready").await);
        assert!(!listens(&format!("http://127.0.0.1:{port}/x")).await);
    }
}

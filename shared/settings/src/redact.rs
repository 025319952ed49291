//! URLs without passwords.

use url::Url;

/// `host:port/database` of a URL, for messages: without user, password and options.
pub fn redacted(url: &str) -> String {
    let Ok(url) = Url::parse(url) else {
        return "(unreadable address)".to_owned();
    };
    let default_port = match url.scheme() {
        "redis" | "rediss" | "valkey" | "valkeys" => Some(6379),
        "postgres" | "postgresql" => Some(5432),
        _ => None,
    };
    let port = url
        .port_or_known_default()
        .or(default_port)
        .filter(|_| url.has_host())
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    let path = if url.path() == "/" { "" } else { url.path() };
    format!("{}{port}{path}", url.host_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hides_passwords() {
        for (url, shown) in [
            ("redis://:secret@cache.internal/2", "cache.internal:6379/2"),
            (
                "postgres://me:secret@db:6543/longshore?sslpassword=secret",
                "db:6543/longshore",
            ),
            ("redis://127.0.0.1:6379/", "127.0.0.1:6379"),
            ("unix:///run/redis.sock?pass=secret", "/run/redis.sock"),
            ("https://api.openai.com/v1", "api.openai.com:443/v1"),
            ("not secret", "(unreadable address)"),
        ] {
            assert_eq!(redacted(url), shown);
        }
    }
}

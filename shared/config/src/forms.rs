//! Forms of settings that are more than a number, a duration or a name.

use longshore_policy::{
    redis::RedisUrl,
    webhook::{SigningKey, WebhookHost},
};
use longshore_protocol::{envelope::is_line, money::Usd};
use longshore_settings::Form;
use rust_decimal::Decimal;
use secrecy::ExposeSecret as _;
use url::Url;

/// The URL of Redis. It may contain a password.
pub(crate) fn redis_url() -> Form<RedisUrl> {
    Form::with_format(
        "redis://host:port, redis+sentinel://host:port,host:port/name or redis+cluster://host:port,host:port, \
         or the same with rediss for TLS",
        |text| text.parse().ok(),
        |url: &RedisUrl| url.text().expose_secret().to_owned(),
    )
    .shown_as(RedisUrl::shown)
    .secret()
}

/// A user name.
pub(crate) fn username() -> Form<String> {
    Form::new("a user name without spaces", |text| {
        (!text.is_empty() && !text.contains(char::is_whitespace)).then(|| text.to_owned())
    })
    .values("a user name")
}

/// The name of a model.
pub(crate) fn model() -> Form<String> {
    Form::new("a model, such as claude-opus-4-8", |text| {
        is_line(text, 128).then(|| text.to_owned())
    })
}

/// The maximum cost of a job.
pub(crate) fn task_dollars() -> Form<Usd> {
    Form::new("US dollars over 0, such as 1.0", |text| {
        text.parse::<Usd>()
            .ok()
            .filter(|amount| amount.0 > Decimal::ZERO)
    })
}

/// The key that signs webhooks.
pub(crate) fn signing_key() -> Form<SigningKey> {
    let expected = "whsec_ and 24 to 64 bytes in base64 (make one with \
                    `echo whsec_$(openssl rand -base64 32)`)";
    Form::with_format(expected, SigningKey::parse, |_| "set".to_owned()).secret()
}

/// The URL that receives alerts. Its path may be a secret.
pub(crate) fn alert_url() -> Form<Url> {
    Form::new("https://HOST/PATH", |text| Url::parse(text).ok())
        .shown_as(|url| url.host_str().unwrap_or("off").to_owned())
        .secret()
}

/// A host that webhooks may be sent to.
pub(crate) fn host() -> Form<WebhookHost> {
    Form::new(
        "HOST or HOST:PORT, such as hooks.example.com, or http://HOST:PORT if it has no TLS",
        WebhookHost::parse,
    )
}

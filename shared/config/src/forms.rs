//! Forms of settings that are more than a number, a duration or a name.

use longshore_policy::webhook::{SigningKey, WebhookHost};
use longshore_protocol::money::Usd;
use longshore_settings::Form;
use rust_decimal::Decimal;
use url::Url;

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

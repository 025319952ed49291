//! Webhooks and alerts, as they are written in `longshore.yaml`.

use std::time::Duration;

use longshore_policy::{
    limits::Alerts,
    webhook::{SigningKey, WebhookHost, WebhookSettings},
};
use longshore_settings::{Form, Interpolated, Reader, Text, form::duration, form::whole};
use serde::Deserialize;
use url::Url;

/// Where webhooks may go.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawWebhooks {
    hosts: Option<Vec<Text>>,
    pub(super) secret: Option<Text>,
    timeout: Option<Text>,
}

/// At what people are warned, and how.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawAlerts {
    at: Option<Vec<Text>>,
    webhook: Option<Text>,
}

/// Where webhooks may go, and how they are signed.
pub(super) fn webhooks(r: &mut Reader<'_>, raw: &RawWebhooks) -> WebhookSettings {
    let default = WebhookSettings::default();
    let name = "webhooks.hosts";
    let hosts = list(r, name, raw.hosts.as_deref(), host).unwrap_or(default.hosts);
    let secret = secret(r, raw.secret.as_ref());
    let first = raw.hosts.as_deref().unwrap_or_default().first();
    if !hosts.is_empty() && raw.secret.is_none() && secret.is_none() {
        let text = "`webhooks.secret` is needed: receivers know our webhooks by their signatures; \
                    expected `secret: ${NAME}`, the name of a variable that holds it";
        r.problem_near(first, text);
    }
    let timeout = duration(Duration::from_millis(100)..=Duration::from_mins(1));
    WebhookSettings {
        hosts,
        secret,
        timeout: r
            .setting("webhooks.timeout", raw.timeout.as_ref(), &timeout)
            .unwrap_or(default.timeout),
    }
}

/// Where the secret's variable is not set there is none: most processes send no webhooks.
fn secret(r: &mut Reader<'_>, written: Option<&Text>) -> Option<SigningKey> {
    let expected = "whsec_ and 24 to 64 bytes in base64 (make one with \
                    `echo whsec_$(openssl rand -base64 32)`)";
    let form = Form::new(expected, SigningKey::parse).secret();
    let filled = written.map(|written| r.filled(written));
    let missing = matches!(filled, Some(Interpolated::Missing(_)));
    r.setting("webhooks.secret", written.filter(|_| !missing), &form)
}

/// At what people are warned, and how.
pub(super) fn alerts(r: &mut Reader<'_>, raw: &RawAlerts, webhooks: &WebhookSettings) -> Alerts {
    let default = Alerts::default();
    let percent = || whole(1..=100);
    let mut at = list(r, "alerts.at", raw.at.as_deref(), percent).unwrap_or(default.at);
    at.sort_unstable();
    at.dedup();
    let form = Form::new("https://HOST/PATH", |text| Url::parse(text).ok()).secret();
    let webhook = r.setting("alerts.webhook", raw.webhook.as_ref(), &form);
    let refused = webhook
        .as_ref()
        .and_then(|url| webhooks.check(url.as_str()).err());
    if let Some(refused) = refused {
        r.problem_with("alerts.webhook", format!("`alerts.webhook`: {refused}"));
    }
    Alerts { at, webhook }
}

fn host() -> Form<WebhookHost> {
    Form::new(
        "HOST or HOST:PORT, such as hooks.example.com, or http://HOST:PORT where there is no TLS",
        WebhookHost::parse,
    )
}

/// A list of the file, or of its variable with commas between; `None` where neither is set.
fn list<T: 'static>(
    r: &mut Reader<'_>,
    name: &str,
    written: Option<&[Text]>,
    one: fn() -> Form<T>,
) -> Option<Vec<T>> {
    let form = one();
    let expected = format!("{}, with commas between", form.expected);
    let many = Form::new(expected, move |text| {
        text.split(',').map(|one| form.understand(one)).collect()
    });
    if let Some(list) = r.setting(name, None, &many) {
        return Some(list);
    }
    let written = written?;
    if let Some(first) = written.first() {
        r.stands_at(name, first);
    }
    let form = one();
    let values = written.iter();
    Some(
        values
            .filter_map(|value| r.value(name, value, &form))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Config;
    use longshore_settings::Environment;

    const YAML: &str = "
webhooks:
  hosts: [hooks.example.com, \"http://127.0.0.1:9000\"]
  secret: ${WEBHOOK_SECRET}
  timeout: 3s
alerts: { at: [90, 50], webhook: https://hooks.example.com/longshore?team=a }
";

    fn load(pairs: &[(&str, &str)], yaml: &str) -> Result<Config, String> {
        let env = Environment::from_pairs(pairs.iter().copied());
        Config::from_yaml(&env, Path::new("longshore.yaml"), yaml).map_err(|e| e.to_string())
    }

    #[test]
    fn all_of_it_can_be_set() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let config = load(&[("WEBHOOK_SECRET", secret)], YAML).unwrap();
        let hosts: Vec<String> = config
            .webhooks
            .hosts
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(hosts, ["hooks.example.com", "http://127.0.0.1:9000"]);
        assert!(config.webhooks.secret.is_some());
        assert_eq!(config.webhooks.timeout.as_secs(), 3);
        assert_eq!(config.alerts.at, [50, 90]);
        let url = config.alerts.webhook.unwrap();
        assert_eq!(url.as_str(), "https://hooks.example.com/longshore?team=a");

        let unset = load(&[], YAML).unwrap();
        assert!(unset.webhooks.secret.is_none());
        assert!(load(&[], "").unwrap().webhooks.hosts.is_empty());
    }

    #[test]
    fn the_environment_goes_before_the_file() {
        let pairs = [
            ("LONGSHORE_WEBHOOKS_HOSTS", "a.example, hooks.example.com"),
            (
                "LONGSHORE_WEBHOOKS_SECRET",
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            ),
            ("LONGSHORE_WEBHOOKS_TIMEOUT", "9s"),
            ("LONGSHORE_ALERTS_AT", "75, 60"),
            ("LONGSHORE_ALERTS_WEBHOOK", "https://a.example/x"),
        ];
        let config = load(&pairs, YAML).unwrap();
        assert_eq!(config.webhooks.hosts.len(), 2);
        assert!(config.webhooks.secret.is_some());
        assert_eq!(config.alerts.at, [60, 75]);
        assert_eq!(
            config.alerts.webhook.unwrap().as_str(),
            "https://a.example/x"
        );
        assert_eq!(config.warnings, Vec::<String>::new());
    }

    #[test]
    fn what_is_wrong_is_told_without_the_secret() {
        let yaml = "
webhooks:
  hosts: [\"*.example.com\", https://hooks.example.com, ok.example]
  secret: hunter2
  timeout: 2h
alerts:
  at: [0, 50%]
  webhook: https://elsewhere.example/hunter2
";
        assert_eq!(load(&[], yaml).unwrap_err(), "\
longshore.yaml:3: `webhooks.hosts` is `*.example.com`; expected HOST or HOST:PORT, such as hooks.example.com, or http://HOST:PORT where there is no TLS
longshore.yaml:3: `webhooks.hosts` is `https://hooks.example.com`; expected HOST or HOST:PORT, such as hooks.example.com, or http://HOST:PORT where there is no TLS
longshore.yaml:4: `webhooks.secret` is not valid; expected whsec_ and 24 to 64 bytes in base64 (make one with `echo whsec_$(openssl rand -base64 32)`)
longshore.yaml:5: `webhooks.timeout` is `2h`; expected a time from 100ms to 1m, such as 500ms, 30s, 10m, 24h or 30d (a bare number is seconds)
longshore.yaml:7: `alerts.at` is `0`; expected a whole number from 1 to 100
longshore.yaml:7: `alerts.at` is `50%`; expected a whole number from 1 to 100
longshore.yaml:8: `alerts.webhook`: no webhook may go to elsewhere.example; if it should, add `elsewhere.example` to `webhooks.hosts`");
        assert_eq!(
            load(&[], "webhooks: { hosts: [a.example] }\n").unwrap_err(),
            "longshore.yaml:1: `webhooks.secret` is needed: receivers know our webhooks by their signatures; expected `secret: ${NAME}`, the name of a variable that holds it"
        );
        assert_eq!(
            load(&[("LONGSHORE_ALERTS_AT", "50 80")], "").unwrap_err(),
            "LONGSHORE_ALERTS_AT: `alerts.at` is `50 80`; expected a whole number from 1 to 100, with commas between"
        );
        assert_eq!(
            load(&[], "alerts: [50, 80]\n").unwrap_err(),
            "longshore.yaml:1: `alerts` is not a map; expected lines `name: value` under it, indented"
        );
    }
}

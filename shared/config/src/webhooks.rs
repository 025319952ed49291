//! Reads the sections `webhooks:` and `alerts:`.

use longshore_policy::{limits::Alerts, webhook::WebhookSettings};
use longshore_settings::{Interpolated, Reader};

use crate::table::{RawAlerts, RawWebhooks};

/// Reads the section `webhooks:`.
pub(super) fn webhooks(r: &mut Reader<'_>, mut raw: RawWebhooks) -> WebhookSettings {
    let names_secret = raw.secret.is_some();
    // Most processes send no webhooks, and do not have the variable of the secret.
    raw.secret = raw
        .secret
        .filter(|secret| !matches!(r.interpolate(secret.as_str()), Interpolated::Missing(_)));
    let mut webhooks = WebhookSettings::default();
    RawWebhooks::settings().read(r, &raw, &mut webhooks);
    if !webhooks.hosts.is_empty() && !names_secret && webhooks.secret.is_none() {
        let text = "`webhooks.secret` is needed: receivers verify webhooks by their signatures; \
                    expected `secret: ${NAME}`, the name of a variable that contains it";
        let first = raw.hosts.as_deref().unwrap_or_default().first();
        r.problem_near(first, text);
    }
    webhooks
}

/// Reads the section `alerts:`.
pub(super) fn alerts(r: &mut Reader<'_>, raw: &RawAlerts, webhooks: &WebhookSettings) -> Alerts {
    let mut alerts = Alerts::default();
    RawAlerts::settings().read(r, raw, &mut alerts);
    alerts.at.sort_unstable();
    alerts.at.dedup();
    let url = alerts.webhook.as_ref();
    if let Some(refused) = url.and_then(|url| webhooks.check(url.as_str()).err()) {
        let text = format!("`alerts.webhook`: {refused}");
        r.problem_with_settings(&["alerts.webhook", "webhooks.hosts"], text);
    }
    alerts
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
    fn reads_every_setting() {
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
    fn the_environment_overrides_the_file() {
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
    fn reports_errors_without_the_secret() {
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
longshore.yaml:3: `webhooks.hosts` is `*.example.com`; expected HOST or HOST:PORT, such as hooks.example.com, or http://HOST:PORT if it has no TLS
longshore.yaml:3: `webhooks.hosts` is `https://hooks.example.com`; expected HOST or HOST:PORT, such as hooks.example.com, or http://HOST:PORT if it has no TLS
longshore.yaml:4: `webhooks.secret` is not valid; expected whsec_ and 24 to 64 bytes in base64 (make one with `echo whsec_$(openssl rand -base64 32)`)
longshore.yaml:5: `webhooks.timeout` is `2h`; expected a time from 100ms to 1m, such as 500ms, 30s, 10m, 24h or 30d (a bare number is seconds)
longshore.yaml:7: `alerts.at` is `0`; expected a whole number from 1 to 100
longshore.yaml:7: `alerts.at` is `50%`; expected a whole number from 1 to 100");
        assert_eq!(
            load(
                &[],
                "alerts: { webhook: 'https://elsewhere.example/hunter2' }\n"
            )
            .unwrap_err(),
            "longshore.yaml:1: `alerts.webhook`: no webhook may go to elsewhere.example; if it should, add `elsewhere.example` to `webhooks.hosts`"
        );
        assert_eq!(
            load(&[], "webhooks: { hosts: [a.example] }\n").unwrap_err(),
            "longshore.yaml:1: `webhooks.secret` is needed: receivers verify webhooks by their signatures; expected `secret: ${NAME}`, the name of a variable that contains it"
        );
        assert_eq!(
            load(&[("LONGSHORE_ALERTS_AT", "50 80")], "").unwrap_err(),
            "LONGSHORE_ALERTS_AT: `alerts.at` is `50 80`; expected a whole number from 1 to 100, with commas between"
        );
        assert_eq!(
            load(&[], "alerts: [50, 80]\n").unwrap_err(),
            "longshore.yaml:1: `alerts` is a list; expected a map: lines `name: value` under it, indented"
        );
    }
}

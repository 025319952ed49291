//! The environment variables of OpenTelemetry
//! (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>).

use std::{collections::HashMap, time::Duration};

use longshore_settings::Environment;
use opentelemetry::KeyValue;
use opentelemetry_sdk::trace::Sampler;
use percent_encoding::percent_decode_str;
use url::Url;

use crate::version::VERSION;

/// Where the standard says that a collector listens.
const DEFAULT_ENDPOINT: &str = "http://localhost:4318";

/// The standard's timeout of one export.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where spans go, and which.
#[derive(Debug)]
pub(super) struct TraceSettings {
    pub(super) endpoint: Url,
    /// The host and port of the endpoint, for logs: its path and user may be secrets.
    pub(super) host: String,
    /// Often with a key.
    pub(super) headers: HashMap<String, String>,
    pub(super) timeout: Duration,
    pub(super) sampler: Sampler,
    pub(super) resource: Vec<KeyValue>,
    pub(super) has_own_queue_size: bool,
}

impl TraceSettings {
    /// `None` if traces are off. The error says why the settings cannot be followed, without values that may be secrets.
    pub(super) fn read(service: &str, env: &Environment) -> Result<Option<Self>, String> {
        let is_disabled = env
            .get("OTEL_SDK_DISABLED")
            .is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let named = own_or_general(env, "ENDPOINT").is_some();
        let is_on = match env.get("OTEL_TRACES_EXPORTER") {
            None => named,
            Some("otlp") => true,
            Some("none") => false,
            Some(other) => {
                return Err(format!(
                    "OTEL_TRACES_EXPORTER is `{other}`; expected otlp or none"
                ));
            }
        };
        if is_disabled || !is_on {
            return Ok(None);
        }
        if let Some((name, protocol)) = own_or_general(env, "PROTOCOL")
            && protocol != "http/protobuf"
        {
            return Err(format!(
                "{name} is `{protocol}`; Longshore sends http/protobuf, which collectors receive at port 4318"
            ));
        }
        let endpoint = endpoint(env)?;
        Ok(Some(Self {
            host: endpoint
                .host_str()
                .map(|host| match endpoint.port_or_known_default() {
                    Some(port) => format!("{host}:{port}"),
                    None => host.to_owned(),
                })
                .unwrap_or_default(),
            endpoint,
            headers: match own_or_general(env, "HEADERS") {
                Some((name, text)) => pairs(&name, text)?.into_iter().collect(),
                None => HashMap::new(),
            },
            timeout: match own_or_general(env, "TIMEOUT") {
                Some((name, text)) => text.parse().map(Duration::from_millis).map_err(|_| {
                    format!("{name} is `{text}`; expected milliseconds, such as 10000")
                })?,
                None => DEFAULT_TIMEOUT,
            },
            sampler: sampler(env)?,
            resource: resource(service, env)?,
            has_own_queue_size: env.get("OTEL_BSP_MAX_QUEUE_SIZE").is_some(),
        }))
    }
}

/// The variable of traces, or else that of all signals, with its name.
fn own_or_general<'e>(env: &'e Environment, what: &str) -> Option<(String, &'e str)> {
    ["OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_"]
        .into_iter()
        .map(|prefix| format!("{prefix}{what}"))
        .find_map(|name| env.get(&name).map(|value| (name, value)))
}

/// The address of traces as it is, or else that of all signals with the path of traces.
fn endpoint(env: &Environment) -> Result<Url, String> {
    let (name, text) =
        own_or_general(env, "ENDPOINT").unwrap_or_else(|| (String::new(), DEFAULT_ENDPOINT));
    let wrong = |reason: &str| {
        format!("{name} is not valid ({reason}); expected an address such as http://collector:4318")
    };
    let mut url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong("neither http nor https"));
    }
    if name != "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" {
        let path = format!("{}/v1/traces", url.path().trim_end_matches('/'));
        url.set_path(&path);
    }
    Ok(url)
}

/// A list `KEY=VALUE,…` with percent-encoded values.
fn pairs(name: &str, text: &str) -> Result<Vec<(String, String)>, String> {
    let wrong = || format!("{name} is not a list KEY=VALUE,KEY=VALUE with percent-encoded values");
    text.split(',')
        .filter(|pair| !pair.trim().is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').ok_or_else(wrong)?;
            let value = percent_decode_str(value.trim())
                .decode_utf8()
                .map_err(|_| wrong())?;
            Ok((key.trim().to_owned(), value.into_owned()))
        })
        .collect()
}

fn sampler(env: &Environment) -> Result<Sampler, String> {
    let ratio = || match env.get("OTEL_TRACES_SAMPLER_ARG") {
        None => Ok(1.0),
        Some(text) => text
            .parse()
            .ok()
            .filter(|ratio| (0.0..=1.0).contains(ratio))
            .ok_or_else(|| {
                format!("OTEL_TRACES_SAMPLER_ARG is `{text}`; expected a share from 0 to 1")
            }),
    };
    let by_parent = |root: Sampler| Sampler::ParentBased(Box::new(root));
    Ok(match env.get("OTEL_TRACES_SAMPLER") {
        None | Some("parentbased_always_on") => by_parent(Sampler::AlwaysOn),
        Some("parentbased_always_off") => by_parent(Sampler::AlwaysOff),
        Some("parentbased_traceidratio") => by_parent(Sampler::TraceIdRatioBased(ratio()?)),
        Some("always_on") => Sampler::AlwaysOn,
        Some("always_off") => Sampler::AlwaysOff,
        Some("traceidratio") => Sampler::TraceIdRatioBased(ratio()?),
        Some(other) => {
            return Err(format!(
                "OTEL_TRACES_SAMPLER is `{other}`; expected always_on, always_off, traceidratio, or one of these after \
                 parentbased_"
            ));
        }
    })
}

fn resource(service: &str, env: &Environment) -> Result<Vec<KeyValue>, String> {
    const NAME: &str = "OTEL_RESOURCE_ATTRIBUTES";
    let mut attributes = vec![
        KeyValue::new("service.name", format!("longshore-{service}")),
        KeyValue::new("service.version", VERSION.as_str()),
    ];
    let own = env.get(NAME).map(|text| pairs(NAME, text)).transpose()?;
    let own = own.unwrap_or_default().into_iter();
    attributes.extend(own.map(|(key, value)| KeyValue::new(key, value)));
    let name = env.get("OTEL_SERVICE_NAME");
    attributes.extend(name.map(|name| KeyValue::new("service.name", name.to_owned())));
    Ok(attributes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Option<TraceSettings>, String> {
        TraceSettings::read("worker", &Environment::from_pairs(pairs.iter().copied()))
    }

    fn on(pairs: &[(&str, &str)]) -> TraceSettings {
        read(pairs).unwrap().unwrap()
    }

    #[test]
    fn an_endpoint_or_the_exporter_turns_traces_on() {
        const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
        let is_on = |pairs: &[(&str, &str)]| read(pairs).unwrap().is_some();
        assert!(!is_on(&[]));
        assert!(!is_on(&[("OTEL_SERVICE_NAME", "x")]));
        assert!(is_on(&[ENDPOINT]));
        assert!(is_on(&[("OTEL_TRACES_EXPORTER", "otlp")]));
        assert!(!is_on(&[ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")]));
        assert!(!is_on(&[ENDPOINT, ("OTEL_SDK_DISABLED", "TRUE")]));
        assert!(is_on(&[ENDPOINT, ("OTEL_SDK_DISABLED", "no")]));
    }

    #[test]
    fn the_path_belongs_to_the_address_of_all_signals() {
        let of = |pairs: &[(&str, &str)]| on(pairs).endpoint.to_string();
        let all = "OTEL_EXPORTER_OTLP_ENDPOINT";
        assert_eq!(of(&[(all, "http://c:4318")]), "http://c:4318/v1/traces");
        assert_eq!(of(&[(all, "https://c/otlp/")]), "https://c/otlp/v1/traces");
        let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://d/x");
        assert_eq!(of(&[(all, "http://c:4318"), own]), "http://d/x");
        let default = of(&[("OTEL_TRACES_EXPORTER", "otlp")]);
        assert_eq!(default, "http://localhost:4318/v1/traces");
    }

    #[test]
    fn headers_resource_and_timeout_are_read() {
        let settings = on(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://u:secret@c/x"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b, x=y=z"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "250"),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=a,team=b"),
            ("OTEL_SERVICE_NAME", "c"),
        ]);
        assert_eq!(settings.host, "c:80");
        assert_eq!(settings.headers["api-key"], "a b");
        assert_eq!(settings.headers["x"], "y=z");
        assert_eq!(settings.timeout, Duration::from_millis(250));
        let last = |key: &str| {
            let pairs = settings.resource.iter().rev();
            let found = pairs.filter(|pair| pair.key.as_str() == key);
            found.map(|pair| pair.value.to_string()).next()
        };
        assert_eq!(last("service.name").unwrap(), "c");
        assert_eq!(last("team").unwrap(), "b");
        assert!(last("service.version").is_some());
    }

    #[test]
    fn what_cannot_be_followed_is_named() {
        let wrong = |pairs: &[(&str, &str)]| {
            let on = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c")];
            read(&[pairs, &on].concat()).unwrap_err()
        };
        insta::assert_snapshot!(
            [
                wrong(&[("OTEL_TRACES_EXPORTER", "zipkin")]),
                wrong(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]),
                wrong(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector:4318")]),
                wrong(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "/x")]),
                wrong(&[("OTEL_EXPORTER_OTLP_HEADERS", "secret")]),
                wrong(&[("OTEL_EXPORTER_OTLP_TIMEOUT", "1s")]),
                wrong(&[("OTEL_TRACES_SAMPLER", "half")]),
                wrong(&[
                    ("OTEL_TRACES_SAMPLER", "traceidratio"),
                    ("OTEL_TRACES_SAMPLER_ARG", "50"),
                ]),
                wrong(&[("OTEL_RESOURCE_ATTRIBUTES", "a")]),
            ]
            .join("\n")
        );
    }
}

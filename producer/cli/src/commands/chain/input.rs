//! Reads and checks a chain document and reports all faults at once, with their lines.

use std::{cell::OnceCell, collections::BTreeMap, path::Path};

use longshore_client::{Chain, ChainFault, ChainId, MessageLimits};
use longshore_config::Config;
use longshore_protocol::{chain, envelope};
use longshore_settings::{Booleans, Node, suggest::closest, yaml};
use serde_json::{
    Map, Value,
    value::{RawValue, to_raw_value},
};

use crate::{
    error::CommandError,
    faults::Faults,
    input::{file_label, read_text_or_stdin, unknown_field},
    options::check_platform,
    output,
};

/// A document as its author wrote it.
pub(super) struct Written {
    /// The name of its file; empty if it has none.
    label: String,
    text: String,
    /// The document as JSON.
    json: String,
    /// The document with its lines, once they are needed. JSON is YAML, too.
    tree: OnceCell<Option<Node>>,
    /// Names that are set twice, which JSON does not show.
    repeated: Vec<Located>,
}

/// What is to be said of a document, and the line.
#[derive(Debug, Clone)]
struct Located {
    line: Option<usize>,
    message: String,
}

/// The document in a file, or from stdin for `-`.
pub(super) fn read_document(path: &Path) -> Result<Written, CommandError> {
    Written::parse(&file_label(path), read_text_or_stdin(path)?)
}

impl Written {
    /// A document that another command made.
    pub(super) fn from_json(json: String) -> Self {
        Self {
            label: String::new(),
            text: json.clone(),
            json,
            tree: OnceCell::new(),
            repeated: Vec::new(),
        }
    }

    /// JSON unchanged; YAML as the same document in JSON.
    fn parse(label: &str, text: String) -> Result<Self, CommandError> {
        // Some editors write a byte order mark.
        let json = text.trim_start_matches('\u{feff}').trim();
        if json.starts_with('{') {
            let json = json.to_owned();
            return Ok(Self {
                label: label.to_owned(),
                text,
                ..Self::from_json(json)
            });
        }
        // `no` and `n` are strings, not booleans.
        let tree = yaml::load(Path::new(label), &text, Booleans::Strict)
            .map_err(|problem| CommandError::Input(problem.to_string()))?;
        if tree.as_map().is_none() {
            let wrong = format!("{label}: expected a chain: an object with `steps`");
            return Err(CommandError::Input(wrong));
        }
        let json = serde_json::to_string(&tree)
            .map_err(|error| CommandError::Input(format!("{label}: {error}")))?;
        let repeated = tree.names_set_twice().into_iter();
        let repeated = repeated.map(|(line, message)| Located { line, message });
        Ok(Self {
            label: label.to_owned(),
            text,
            json,
            repeated: repeated.collect(),
            tree: OnceCell::from(Some(tree)),
        })
    }

    /// The chain with this id, or all that is wrong with it by itself and by the configuration. Warns of fields that
    /// this version does not know.
    pub(super) fn check(
        &self,
        id: Option<&ChainId>,
        config: &Config,
    ) -> Result<Chain, CommandError> {
        let document: Value = serde_json::from_str(&self.json).unwrap_or_default();
        let unknown = unknown_fields(&document);
        let (json, taken) = match id.map(|id| with_id(&self.json, id)) {
            None => (self.json.clone(), None),
            Some(Ok(json)) => (json, None),
            Some(Err(taken)) => (self.json.clone(), Some(taken)),
        };
        let chain = Chain::from_json(json, &config.limits);
        let mut faults = chain
            .as_ref()
            .map_or_else(|bad| bad.faults.clone(), |_| Vec::new());
        let of_config = config_faults(&document, config);
        // Of a field with a fault of its own, the configuration has nothing to add.
        let is_told = |told: &[ChainFault], fault: &ChainFault| {
            let mut told = told.iter();
            told.any(|other| other.step == fault.step && other.field == fault.field)
        };
        let of_config: Vec<_> = of_config
            .into_iter()
            .filter(|fault| !is_told(&faults, fault))
            .collect();
        faults.extend(of_config);
        match chain {
            Ok(chain) if faults.is_empty() && self.repeated.is_empty() && taken.is_none() => {
                for remark in &unknown {
                    output::warning(self.line_of(&self.locate(&remark.fault)));
                }
                Ok(chain)
            }
            _ => Err(self.error(taken, &faults, &unknown)),
        }
    }

    /// The chain, or all that is wrong with it by itself.
    pub(super) fn parse_chain(&self, limits: &MessageLimits) -> Result<Chain, CommandError> {
        match Chain::from_json(self.json.clone(), limits) {
            Ok(chain) if self.repeated.is_empty() => Ok(chain),
            Ok(_) => Err(self.error(None, &[], &[])),
            Err(bad) => Err(self.error(None, &bad.faults, &[])),
        }
    }

    /// All that is wrong, in the order of the lines. A misspelt field explains what is missing.
    fn error(
        &self,
        taken: Option<String>,
        faults: &[ChainFault],
        unknown: &[Unknown],
    ) -> CommandError {
        let is_told = |name: &str| {
            let name = format!("`{name}`");
            faults.iter().any(|fault| fault.message.contains(&name))
        };
        let misspelt = unknown
            .iter()
            .filter(|unknown| unknown.is_misspelt && !is_told(&unknown.name))
            .map(|unknown| &unknown.fault);
        let located = faults.iter().chain(misspelt);
        let mut located: Vec<Located> = located.map(|fault| self.locate(fault)).collect();
        located.extend(self.repeated.iter().cloned());
        located.extend(taken.map(|message| Located {
            line: None,
            message,
        }));
        located.sort_by_key(|one| one.line.unwrap_or(usize::MAX));
        let mut lines = Faults::default();
        lines.extend(located.iter().map(|one| self.line_of(one)));
        CommandError::Input(lines.to_string())
    }

    /// A message with its place in the file.
    fn line_of(&self, located: &Located) -> String {
        let Located { line, message } = located;
        match line {
            _ if self.label.is_empty() => message.clone(),
            Some(line) => format!("{}:{line}: {message}", self.label),
            None => format!("{}: {message}", self.label),
        }
    }

    fn locate(&self, fault: &ChainFault) -> Located {
        Located {
            line: self.find_line(fault.step, fault.field.as_deref()),
            message: fault.message.clone(),
        }
    }

    /// The line of a field of a step, of a step, or of a field of the chain.
    fn find_line(&self, step: Option<usize>, field: Option<&str>) -> Option<usize> {
        let tree = self
            .tree
            .get_or_init(|| yaml::load(Path::new(&self.label), &self.text, Booleans::Strict).ok());
        let root = tree.as_ref()?;
        let place = match step {
            None => root,
            Some(number) => root.get("steps")?.as_list()?.get(number.checked_sub(1)?)?,
        };
        match field.and_then(|field| place.member(field)) {
            Some((name, _)) => name.line(),
            None => step.and(place.line()),
        }
    }
}

/// The document with the id of `--id`; all other fields stay as written.
fn with_id(text: &str, id: &ChainId) -> Result<String, String> {
    // The check that follows rejects a document that cannot be parsed.
    let Ok(mut fields) = serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(text) else {
        return Ok(text.to_owned());
    };
    let own = fields
        .get("id")
        .and_then(|own| serde_json::from_str::<String>(own.get()).ok());
    if let Some(own) = own.filter(|own| own != id.as_str()) {
        return Err(format!(
            "--id: the document already has the id `{own}`; remove one of the two"
        ));
    }
    fields.insert(
        "id".to_owned(),
        to_raw_value(id).map_err(|error| error.to_string())?,
    );
    serde_json::to_string(&fields).map_err(|error| error.to_string())
}

/// The steps of a document that are objects, each with its number and how faults refer to it.
fn steps(document: &Value) -> impl Iterator<Item = (usize, String, &Map<String, Value>)> {
    let steps = document.get("steps").and_then(Value::as_array);
    (1..)
        .zip(steps.into_iter().flatten())
        .filter_map(|(number, step)| {
            let step = step.as_object()?;
            let name = step.get("name").and_then(Value::as_str);
            let name = name.filter(|name| chain::StepName::parse(name).is_ok());
            let location =
                name.map_or_else(|| format!("step {number}"), |name| format!("step `{name}`"));
            Some((number, location, step))
        })
}

/// Unknown platforms, and webhook hosts that are not allowed.
fn config_faults(document: &Value, config: &Config) -> Vec<ChainFault> {
    let mut faults = Vec::new();
    let mut check = |step: Option<usize>, field: &str, location: &str, platform: Option<&Value>| {
        let platform = platform.and_then(Value::as_str);
        let wrong = platform.and_then(|platform| check_platform(platform, &config.catalog).err());
        faults.extend(wrong.map(|wrong| ChainFault {
            step,
            field: Some(field.to_owned()),
            message: format!("{location}: field `platform`: {wrong}"),
        }));
    };
    for (number, location, step) in steps(document) {
        check(Some(number), "platform", &location, step.get("platform"));
    }
    let after = |name: &str| document.get("on_complete")?.get(name);
    let platform = after("job").and_then(|job| job.get("platform"));
    check(None, "on_complete", "on_complete", platform);
    let webhook = after("webhook").and_then(Value::as_str);
    let refused = webhook.and_then(|url| config.webhooks.check(url).err());
    faults.extend(refused.map(|refused| ChainFault {
        step: None,
        field: Some("on_complete".to_owned()),
        message: format!("on_complete: field `webhook`: {refused}"),
    }));
    for (number, location, step) in steps(document) {
        let wrong = step
            .get("models")
            .and_then(|models| unknown_models(models, config));
        faults.extend(wrong.map(|wrong| ChainFault {
            step: Some(number),
            field: Some("models".to_owned()),
            message: format!("{location}: field `models`: {wrong}"),
        }));
    }
    faults
}

/// The first platform, model or category of a step that the configuration does not know.
fn unknown_models(models: &Value, config: &Config) -> Option<String> {
    if let Some(category) = models.get("category").and_then(Value::as_str) {
        let known = config.routing.categories.iter();
        let mut known = known
            .map(|category| category.name.as_str())
            .chain([chain::AUTO_CATEGORY]);
        if known.clone().any(|known| known == category) {
            return None;
        }
        let near = closest(category, known.by_ref());
        let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        return Some(format!("there is no category `{category}`{near}"));
    }
    let names = models
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    names
        .filter(|name| config.catalog.require_platform(name).is_err())
        .find_map(|name| config.catalog.require_model(name).err())
        .map(|wrong| wrong.to_string())
}

/// A field that this version of the protocol does not know.
struct Unknown {
    name: String,
    /// Whether a known field has almost the same name.
    is_misspelt: bool,
    fault: ChainFault,
}

impl Unknown {
    fn new(name: &str, known: &[&str], step: Option<usize>, location: Option<&str>) -> Self {
        let location = location.map_or_else(String::new, |location| format!("{location}: "));
        Self {
            name: name.to_owned(),
            is_misspelt: closest(name, known.iter().copied()).is_some(),
            fault: ChainFault {
                step,
                field: Some(name.to_owned()),
                message: format!("{location}{}", unknown_field(name, known)),
            },
        }
    }
}

/// The fields of a chain and of its steps that this version does not know. Newer workers may.
fn unknown_fields(document: &Value) -> Vec<Unknown> {
    let unknown = |name: &str, known: &[&str]| !name.starts_with('_') && !known.contains(&name);
    let top = document.as_object().into_iter().flat_map(Map::keys);
    let mut found: Vec<Unknown> = top
        .filter(|name| unknown(name, chain::FIELDS))
        .map(|name| Unknown::new(name, chain::FIELDS, None, None))
        .collect();
    let of_step = [chain::STEP_FIELDS, envelope::FIELDS].concat();
    for (number, location, step) in steps(document) {
        let names = step.keys().filter(|name| unknown(name, &of_step));
        found.extend(names.map(|name| Unknown::new(name, &of_step, Some(number), Some(&location))));
    }
    found
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use longshore_settings::Environment;

    use super::*;

    fn checked(text: &str, id: Option<&str>) -> Result<Chain, String> {
        let config = Config::load(&Environment::from_pairs([("X", "y")])).unwrap();
        let id = id.map(|id| ChainId::parse(id).unwrap());
        Written::parse("chain", text.to_owned())
            .and_then(|written| written.check(id.as_ref(), &config))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn yaml_and_json_are_the_same_document() {
        let json = r#"{"name": "n", "max_cost_usd": "2.50", "steps": [{"name": "a", "prompt": "x\ny"},
            {"name": "b", "needs": ["a"], "prompt": "{{ steps.a.output }}", "temperature": 0.5}]}"#;
        let yaml = "
name: n # no boolean
max_cost_usd: \"2.50\"
steps:
  - name: a
    prompt: |-
      x
      y
  - name: b
    needs: [a]
    temperature: 0.5
    prompt: \"{{ steps.a.output }}\"
";
        let (from_json, from_yaml) = (checked(json, None).unwrap(), checked(yaml, None).unwrap());
        assert_eq!(from_json.document().hash(), from_yaml.document().hash());
        assert_eq!(from_json.to_json(), json);
    }

    #[test]
    fn adding_an_id_leaves_the_document_unchanged() {
        let text = r#"{"steps": [{"name": "a", "prompt": "x", "later": 0.10}]}"#;
        let identified = checked(text, Some("mine")).unwrap();
        assert_snapshot!(identified.to_json(), @r#"{"id":"mine","steps":[{"name": "a", "prompt": "x", "later": 0.10}]}"#);
        assert_eq!(
            identified.document().hash(),
            checked(text, None).unwrap().document().hash()
        );
        assert_eq!(
            identified.document().id,
            Some(ChainId::parse("mine").unwrap())
        );
    }

    #[test]
    fn each_fault_is_told_with_its_line() {
        let yaml = "\
nmae: nightly
max_parallel: 0
deadline: never
steps:
  - name: research
    prompt: Name a city.
    platform: opnai
    temprature: 0.5
    max_tokens: 0
    timeout: soon
  - name: describe
    neds: [research]
    prompt: Describe {{ steps.reserch.output }}.
    needs: [rsearch]
  - prompt: No name.
  - just text
  - name: twice
    prompt: a
    prompt: b
    min_success: 3
    foreach: [1]
on_complete: { webhook: https://example.com/x }
";
        let named = yaml.replace("  - prompt: No name.\n  - just text\n", "");
        let json = r#"{
  "id": "own",
  "steps": [
    {"name": "a", "prompt": "x", "max_tokens": 0,
     "needs": ["b"]},
    {"name": "b",
     "needs": ["a"], "platform": 5, "prompt": ""}
  ],
  "tenant": 7
}"#;
        let all = [
            (yaml, Some("mine")),
            (named.as_str(), None),
            (json, Some("mine")),
        ];
        let all = all.map(|(text, id)| checked(text, id).unwrap_err());
        assert_snapshot!(all.join("\n---\n"), @r#"
        chain:1: unknown field `nmae`; did you mean `name`?
        chain:2: field `max_parallel`: expected a whole number from 1 to 100000, but got 0
        chain:3: field `deadline`: expected a time as RFC 3339 with an offset (2026-12-01T09:00:00Z), milliseconds since 1970, or seconds after the message was enqueued, from 0 to 31536000, but got "never"
        chain:7: step `research`: field `platform`: platform `opnai` is not known; expected one of openai, anthropic, gemini, deepseek, xai, moonshot, zhipu, minimax, openrouter, ollama, claude-cli, codex-cli, gemini-cli (or claude_code, chatgpt)
        chain:8: step `research`: unknown field `temprature`; did you mean `temperature`?
        chain:9: step `research`: field `max_tokens`: expected a whole number from 1 to 10000000, but got 0
        chain:10: step `research`: field `timeout`: expected seconds, a number over 0 and up to 86400, but got "soon"
        chain:12: step `describe`: unknown field `neds`; did you mean `needs`?
        chain:15: step 3: field `name`: expected a name, but there is none
        chain:16: step 4: expected a step, an object, but got "just text"
        chain:19: `prompt` is set twice, first on line 18; remove one
        chain:21: step `twice`: field `foreach`: expected text, but got [1]
        chain:22: on_complete: field `webhook`: no webhook may go to example.com; if it should, add `example.com` to `webhooks.hosts`
        ---
        chain:1: unknown field `nmae`; did you mean `name`?
        chain:2: field `max_parallel`: expected a whole number from 1 to 100000, but got 0
        chain:3: field `deadline`: expected a time as RFC 3339 with an offset (2026-12-01T09:00:00Z), milliseconds since 1970, or seconds after the message was enqueued, from 0 to 31536000, but got "never"
        chain:7: step `research`: field `platform`: platform `opnai` is not known; expected one of openai, anthropic, gemini, deepseek, xai, moonshot, zhipu, minimax, openrouter, ollama, claude-cli, codex-cli, gemini-cli (or claude_code, chatgpt)
        chain:8: step `research`: unknown field `temprature`; did you mean `temperature`?
        chain:9: step `research`: field `max_tokens`: expected a whole number from 1 to 10000000, but got 0
        chain:10: step `research`: field `timeout`: expected seconds, a number over 0 and up to 86400, but got "soon"
        chain:12: step `describe`: unknown field `neds`; did you mean `needs`?
        chain:13: step `describe`: field `prompt`: `steps.reserch`: there is no step `reserch`; did you mean `research`?
        chain:14: step `describe`: field `needs`: there is no step `rsearch`; did you mean `research`?
        chain:17: `prompt` is set twice, first on line 16; remove one
        chain:19: step `twice`: field `foreach`: expected text, but got [1]
        chain:20: on_complete: field `webhook`: no webhook may go to example.com; if it should, add `example.com` to `webhooks.hosts`
        ---
        chain:4: step `a`: field `max_tokens`: expected a whole number from 1 to 10000000, but got 0
        chain:7: step `b`: field `prompt`: expected text that is not empty, but got ""
        chain:7: step `b`: field `platform`: expected text of 1 to 200 characters without control characters, but got 5
        chain:9: field `tenant`: expected text of 1 to 200 characters without control characters, but got 7
        chain: steps need one another in a circle: a → b → a
        chain: --id: the document already has the id `own`; remove one of the two
        "#);
    }

    #[test]
    fn a_graph_is_drawn_of_a_valid_document_alone() {
        let drawn = |text: &str| {
            let written = Written::parse("chain", text.to_owned()).unwrap();
            let chain = written.parse_chain(&MessageLimits::default());
            chain.map(|_| ()).map_err(|error| error.to_string())
        };
        // It needs no platform that exists.
        assert!(drawn("steps: [{ name: a, prompt: x, platform: skynet }]\n").is_ok());
        assert_snapshot!(drawn("steps:\n  - name: a\n    prompt: x\n    name: b\n").unwrap_err(), @"chain:4: `name` is set twice, first on line 2; remove one");
        assert_snapshot!(drawn("steps:\n  - name: a\n").unwrap_err(), @"chain:2: step `a`: field `prompt`: expected `prompt`, or `messages`, but got neither");
    }

    #[test]
    fn a_field_that_is_not_known_is_no_fault() {
        let text = r#"{"steps": [{"name": "a", "prompt": "x", "neds": []}], "x": 1}"#;
        assert!(checked(text, None).is_ok());
        let document = serde_json::from_str(text).unwrap();
        let remarks = unknown_fields(&document);
        let remarks: Vec<&str> = remarks
            .iter()
            .map(|one| one.fault.message.as_str())
            .collect();
        assert_eq!(
            remarks,
            [
                "unknown field `x`",
                "step `a`: unknown field `neds`; did you mean `needs`?"
            ]
        );
    }

    #[test]
    fn all_faults_are_reported_at_once() {
        let faults = [
            checked("", None),
            checked("just text", None),
            checked("steps: [", None),
            checked(r#"{"id": "other", "steps": []}"#, Some("mine")),
            checked(
                r#"{"steps": [{"name": "a", "prompt": "x", "needs": ["b"]}, {"name": "b", "needs": ["a", "c"]}]}"#,
                None,
            ),
            checked(
                r#"{"steps": [{"name": "a", "prompt": "x", "platform": "skynet"}, {"name": "b", "prompt": "x"}],
                    "on_complete": {"webhook": "https://example.com/x"}}"#,
                None,
            ),
        ];
        let faults: Vec<String> = faults.into_iter().map(Result::unwrap_err).collect();
        assert_snapshot!(faults.join("\n---\n"), @"
        chain: expected a chain: an object with `steps`
        ---
        chain: expected a chain: an object with `steps`
        ---
        chain:1: this is not YAML, in or after `steps`: unclosed bracket '['; expected `name: value`, with quotes around a value that contains any of : # { } [ ] , & * ? | > @ `
        ---
        chain:1: field `steps`: expected at least one step, but got []
        chain: --id: the document already has the id `other`; remove one of the two
        ---
        chain:1: step `b`: field `prompt`: expected `prompt`, or `messages`, but got neither
        chain:1: step `b`: field `needs`: there is no step `c`
        chain: steps need one another in a circle: a → b → a
        ---
        chain:1: step `a`: field `platform`: platform `skynet` is not known; expected one of openai, anthropic, gemini, deepseek, xai, moonshot, zhipu, minimax, openrouter, ollama, claude-cli, codex-cli, gemini-cli (or claude_code, chatgpt)
        chain:2: on_complete: field `webhook`: no webhook may go to example.com; if it should, add `example.com` to `webhooks.hosts`
        ");
    }
}

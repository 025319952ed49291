//! Reads and checks a chain document and reports all faults at once.

use std::{collections::BTreeMap, path::Path};

use longshore_client::{Chain, ChainId, Job};
use longshore_config::Config;
use longshore_protocol::chain::{Document, OnComplete};
use serde_json::value::{RawValue, to_raw_value};

use crate::{
    error::CommandError,
    input::{file_label, read_text_or_stdin},
    options::check_platform,
};

/// The document in a file, or from stdin for `-`, as JSON.
pub(super) fn read_document(path: &Path) -> Result<String, CommandError> {
    let text = read_text_or_stdin(path)?;
    to_json(&text).map_err(|wrong| CommandError::Input(format!("{}: {wrong}", file_label(path))))
}

/// JSON unchanged; YAML as the same document in JSON.
fn to_json(text: &str) -> Result<String, String> {
    // Some editors write a byte order mark.
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.starts_with('{') {
        return Ok(text.to_owned());
    }
    // `no` and `n` are strings, not booleans.
    let options = serde_saphyr::options! { with_snippet: false, strict_booleans: true };
    let value: serde_json::Value = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| format!("neither JSON nor YAML: {error}"))?;
    if !value.is_object() {
        return Err("expected a chain: an object with `steps`".to_owned());
    }
    Ok(value.to_string())
}

/// Checks a document by itself and against the configuration.
pub(super) fn check_document(
    text: String,
    id: Option<&ChainId>,
    config: &Config,
) -> Result<Chain, String> {
    let text = match id {
        None => text,
        Some(id) => with_id(text, id)?,
    };
    let chain = Chain::from_json(text, &config.limits).map_err(|bad| bad.to_string())?;
    let faults = config_faults(chain.document(), config);
    if faults.is_empty() {
        Ok(chain)
    } else {
        Err(faults.join("\n"))
    }
}

/// The document with the id of `--id`; all other fields stay as written.
fn with_id(text: String, id: &ChainId) -> Result<String, String> {
    // The check that follows rejects a document that cannot be parsed.
    let Ok(mut fields) = serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(&text) else {
        return Ok(text);
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

/// Unknown platforms, and webhook hosts that are not allowed.
fn config_faults(document: &Document, config: &Config) -> Vec<String> {
    let mut faults = Vec::new();
    let mut check = |location: &str, job: &str| {
        let envelope =
            Job::from_json(job, &config.limits).and_then(|job| job.check(&config.limits));
        let platform = envelope.ok().and_then(|envelope| envelope.platform);
        let wrong = platform.and_then(|platform| check_platform(&platform, &config.catalog).err());
        faults.extend(wrong.map(|wrong| format!("{location}: field `platform`: {wrong}")));
    };
    for step in &document.steps {
        check(&format!("step `{}`", step.name), &step.work.job);
    }
    match &document.on_complete {
        Some(OnComplete::Job(work)) => check("on_complete", &work.job),
        Some(OnComplete::Webhook(url)) => {
            let wrong = config.webhooks.check(url).err();
            faults.extend(wrong.map(|wrong| format!("on_complete: field `webhook`: {wrong}")));
        }
        None => {}
    }
    faults
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use longshore_settings::Environment;

    use super::*;

    fn checked(text: &str, id: Option<&str>) -> Result<Chain, String> {
        let config = Config::load(&Environment::from_pairs([("X", "y")])).unwrap();
        let id = id.map(|id| ChainId::parse(id).unwrap());
        check_document(to_json(text)?, id.as_ref(), &config)
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
        expected a chain: an object with `steps`
        ---
        expected a chain: an object with `steps`
        ---
        neither JSON nor YAML: unclosed bracket '[' at line 1, column 8
        ---
        --id: the document already has the id `other`; remove one of the two
        ---
        step `b`: field `prompt`: expected `prompt`, or `messages`, but got neither
        step `b`: field `needs`: there is no step `c`
        steps need one another in a circle: a → b → a
        ---
        step `a`: field `platform`: platform `skynet` is not known; expected one of openai, anthropic, gemini, deepseek, xai, moonshot, zhipu, minimax, openrouter, ollama, claude-cli, codex-cli, gemini-cli (or claude_code, chatgpt)
        on_complete: field `webhook`: no webhook may go to example.com; if it should, add `example.com` to `webhooks.hosts`
        ");
    }
}

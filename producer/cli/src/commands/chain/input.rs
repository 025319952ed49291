//! Reads the document of a chain, and tells of everything that is wrong with it at once.

use std::{collections::BTreeMap, io::Read as _, path::Path};

use longshore_client::Job;
use longshore_shared::{
    chain::{self, ChainId, Document, OnComplete},
    config::Config,
};
use serde_json::value::{RawValue, to_raw_value};

use crate::{commands::submit::check_platform, error::CommandError};

/// A chain that is right.
#[derive(Debug)]
pub(super) struct Prepared {
    /// What goes into the queue.
    pub(super) text: String,
    pub(super) document: Document,
}

/// The text of a file, or of stdin for `-`, as JSON.
pub(super) fn read(path: &Path) -> Result<String, CommandError> {
    let (name, bytes) = if path.as_os_str() == "-" {
        let mut bytes = Vec::new();
        let read = std::io::stdin().lock().read_to_end(&mut bytes);
        ("stdin".to_owned(), read.map(|_| bytes))
    } else {
        (path.display().to_string(), std::fs::read(path))
    };
    let bytes = bytes.map_err(|source| CommandError::Io {
        what: format!("{name} cannot be read"),
        source,
    })?;
    String::from_utf8(bytes)
        .map_err(|error| {
            format!(
                "expected UTF-8, but got another byte at {}",
                error.utf8_error().valid_up_to()
            )
        })
        .and_then(|text| as_json(&text))
        .map_err(|wrong| CommandError::Input(format!("{name}: {wrong}")))
}

/// JSON as it is; of YAML, the same document as JSON.
fn as_json(text: &str) -> Result<String, String> {
    // The mark that some editors put before it.
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.starts_with('{') {
        return Ok(text.to_owned());
    }
    // `no` and `n` are words here.
    let options = serde_saphyr::options! { with_snippet: false, strict_booleans: true };
    let value: serde_json::Value = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| format!("neither JSON nor YAML: {error}"))?;
    if !value.is_object() {
        return Err("expected a chain: an object with `steps`".to_owned());
    }
    Ok(value.to_string())
}

/// Checks all of a document: itself, then what only the configuration knows.
pub(super) fn prepare(
    text: String,
    id: Option<&ChainId>,
    config: &Config,
) -> Result<Prepared, String> {
    let text = match id {
        None => text,
        Some(id) => with_id(text, id)?,
    };
    let document = chain::parse(&text, &config.limits).map_err(|bad| bad.to_string())?;
    let faults = faults(&document, config);
    if faults.is_empty() {
        Ok(Prepared { text, document })
    } else {
        Err(faults.join("\n"))
    }
}

/// The document with the id of an option in it; the rest stays as it was written.
fn with_id(text: String, id: &ChainId) -> Result<String, String> {
    // What cannot be read is told of in the words of the document's own checks.
    let Ok(mut fields) = serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(&text) else {
        return Ok(text);
    };
    let own = fields
        .get("id")
        .and_then(|own| serde_json::from_str::<String>(own.get()).ok());
    if let Some(own) = own.filter(|own| own != id.as_str()) {
        return Err(format!(
            "--id: the document itself says `{own}`; leave one of the two away"
        ));
    }
    fields.insert(
        "id".to_owned(),
        to_raw_value(id).map_err(|error| error.to_string())?,
    );
    serde_json::to_string(&fields).map_err(|error| error.to_string())
}

/// Platforms that nobody knows, and webhooks that may not be.
fn faults(document: &Document, config: &Config) -> Vec<String> {
    let mut faults = Vec::new();
    let mut check = |place: &str, job: &str| {
        // The document's own checks have read it.
        let envelope =
            Job::from_json(job, &config.limits).and_then(|job| job.check(&config.limits));
        let platform = envelope.ok().and_then(|envelope| envelope.platform);
        let wrong = platform.and_then(|platform| check_platform(&platform, &config.catalog).err());
        faults.extend(wrong.map(|wrong| format!("{place}: field `platform`: {wrong}")));
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
    use longshore_shared::config::Environment;

    use super::*;

    fn prepared(text: &str, id: Option<&str>) -> Result<Prepared, String> {
        let config = Config::load(&Environment::from_pairs([("X", "y")])).unwrap();
        let id = id.map(|id| ChainId::parse(id).unwrap());
        prepare(as_json(text)?, id.as_ref(), &config)
    }

    #[test]
    fn yaml_is_the_same_document() {
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
        let (one, other) = (prepared(json, None).unwrap(), prepared(yaml, None).unwrap());
        assert_eq!(one.document.hash(), other.document.hash());
        assert_eq!(one.text, json);
    }

    #[test]
    fn an_id_is_put_in_and_the_rest_stays() {
        let text = r#"{"steps": [{"name": "a", "prompt": "x", "later": 0.10}]}"#;
        let with = prepared(text, Some("mine")).unwrap();
        assert_snapshot!(with.text, @r#"{"id":"mine","steps":[{"name": "a", "prompt": "x", "later": 0.10}]}"#);
        assert_eq!(
            with.document.hash(),
            prepared(text, None).unwrap().document.hash()
        );
        assert_eq!(with.document.id, Some(ChainId::parse("mine").unwrap()));
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let wrong = [
            prepared("", None),
            prepared("just text", None),
            prepared("steps: [", None),
            prepared(r#"{"id": "other", "steps": []}"#, Some("mine")),
            prepared(
                r#"{"steps": [{"name": "a", "prompt": "x", "needs": ["b"]}, {"name": "b", "needs": ["a", "c"]}]}"#,
                None,
            ),
            prepared(
                r#"{"steps": [{"name": "a", "prompt": "x", "platform": "skynet"}, {"name": "b", "prompt": "x"}],
                    "on_complete": {"webhook": "https://example.com/x"}}"#,
                None,
            ),
        ];
        let wrong: Vec<String> = wrong.into_iter().map(Result::unwrap_err).collect();
        assert_snapshot!(wrong.join("\n---\n"), @"
        expected a chain: an object with `steps`
        ---
        expected a chain: an object with `steps`
        ---
        neither JSON nor YAML: unclosed bracket '[' at line 1, column 8
        ---
        --id: the document itself says `other`; leave one of the two away
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

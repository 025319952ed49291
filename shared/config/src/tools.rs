//! Reads the sections `workspaces:` and `tools:`.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use http::{HeaderName, HeaderValue};
use longshore_policy::{
    capabilities::Capability,
    tools::{
        SecretPairs, ToolAction, ToolBounds, ToolDefinition, ToolMethod, Tools, Workspace,
        Workspaces,
    },
};
use longshore_protocol::chain::{ToolName, WorkspaceName};
use longshore_settings::{
    Entries, Form, Node, Reader, Text,
    form::{bytes, duration},
};
use secrecy::SecretString;
use serde_json::{Value, json};
use url::Url;

use crate::{
    Config,
    commands::{absolute_path, any_text, command, directory, variables},
    table::{RawTool, RawToolRequest, RawWorkspace},
};

const FILE_BYTES: usize = 1 << 20;
const BOUNDS: ToolBounds = ToolBounds {
    timeout: Duration::from_mins(1),
    max_output: 1 << 20,
};
/// Commands of workspaces build and test.
const RUN_TIMEOUT: Duration = Duration::from_mins(10);
const LONGEST: Duration = Duration::from_hours(1);

/// Reads the workspaces.
pub(crate) fn workspaces(
    r: &mut Reader<'_>,
    raws: &Entries<RawWorkspace>,
    config: &Config,
) -> Workspaces {
    let mut workspaces = Workspaces::new();
    for (written, raw) in &raws.0 {
        let name = match WorkspaceName::parse(written.as_str()) {
            Ok(name) => name,
            Err(error) => {
                r.problem_at(written, format!("`workspaces`: {error}"));
                continue;
            }
        };
        let at = format!("workspaces.{name}");
        r.record_origin(&at, written);
        if let Some(workspace) = workspace(r, &at, written, raw) {
            warn_of_missing(r, &at, &workspace.directory, config);
            workspaces.insert(name, workspace);
        }
    }
    workspaces
}

/// Only the machine of a worker that runs tools needs the files.
fn warn_of_missing(r: &mut Reader<'_>, at: &str, directory: &Path, config: &Config) {
    if config.capabilities.contains(&Capability::Tools) && !directory.is_dir() {
        let directory = directory.display();
        r.warn(format!("`{at}`: there is no directory `{directory}`"));
    }
}

fn workspace(r: &mut Reader<'_>, at: &str, name: &Text, raw: &RawWorkspace) -> Option<Workspace> {
    let directory = directory(r, at, "directory", name, raw.directory.as_ref());
    let max_file_bytes = raw.max_file_bytes.as_ref().and_then(|written| {
        let form = bytes(1 << 10..=16 << 20);
        r.value(&format!("{at}.max_file_bytes"), written, &form)
    });
    let run = raw.run.as_deref().unwrap_or_default().iter();
    let run: Vec<Vec<String>> = run
        .filter_map(|words| {
            let place = words.first().unwrap_or(name);
            command(r, &format!("{at}.run"), place, Some(words))
        })
        .collect();
    let bounds = bounds(r, at, raw.timeout.as_ref(), raw.max_output.as_ref());
    let env = raw.env.as_ref().map(|env| variables(r, at, env));
    Some(Workspace {
        directory: directory?,
        max_file_bytes: max_file_bytes.unwrap_or(FILE_BYTES),
        run,
        env: secrets(env.unwrap_or_default()),
        bounds: ToolBounds {
            timeout: raw.timeout.as_ref().map_or(RUN_TIMEOUT, |_| bounds.timeout),
            ..bounds
        },
    })
}

/// Reads the tools.
pub(crate) fn tools(r: &mut Reader<'_>, raws: &Entries<RawTool>, config: &Config) -> Tools {
    let mut tools = Tools::new();
    for (written, raw) in &raws.0 {
        let name = match ToolName::parse(written.as_str()) {
            Ok(name) => name,
            Err(error) => {
                r.problem_at(written, format!("`tools`: {error}"));
                continue;
            }
        };
        if name.of_workspace().is_some() {
            let problem =
                format!("`tools`: `{name}` is a tool of every workspace; choose another name");
            r.problem_at(written, problem);
            continue;
        }
        let at = format!("tools.{name}");
        r.record_origin(&at, written);
        if let Some(tool) = tool(r, &at, written, raw, config) {
            tools.insert(name, tool);
        }
    }
    tools
}

fn tool(
    r: &mut Reader<'_>,
    at: &str,
    name: &Text,
    raw: &RawTool,
    config: &Config,
) -> Option<ToolDefinition> {
    let description = if let Some(written) = &raw.description {
        r.value(&format!("{at}.description"), written, &any_text())
    } else {
        let problem = format!("`{at}` has no `description`; expected what it does, for the model");
        r.problem_at(name, problem);
        None
    };
    let parameters = parameters(r, at, name, raw.parameters.as_ref());
    let bounds = bounds(r, at, raw.timeout.as_ref(), raw.max_output.as_ref());
    let action = match (&raw.command, &raw.http) {
        (Some(words), None) => command_action(r, at, name, words, raw, config),
        (None, Some(request)) => {
            for (field, is_set) in [
                ("working_dir", raw.working_dir.is_some()),
                ("env", raw.env.is_some()),
            ] {
                if is_set {
                    r.problem_at(name, format!("`{at}.{field}` needs `command`, not `http`"));
                }
            }
            request_action(r, at, name, request)
        }
        _ => {
            let problem = format!("`{at}`: expected either `command` or `http`");
            r.problem_at(name, problem);
            None
        }
    };
    Some(ToolDefinition {
        description: description?,
        parameters: parameters?,
        action: action?,
        bounds,
    })
}

/// The JSON schema of the arguments. A tool without a schema takes no arguments.
fn parameters(r: &mut Reader<'_>, at: &str, name: &Text, written: Option<&Node>) -> Option<Value> {
    let Some(written) = written else {
        return Some(json!({"type": "object", "properties": {}, "additionalProperties": false}));
    };
    let schema = serde_json::to_value(written).ok()?;
    let fault = match jsonschema::validator_for(&schema) {
        Err(error) => format!("is no JSON schema: {error}"),
        Ok(_) if schema.get("type").and_then(Value::as_str) != Some("object") => {
            "must have `type: object`: arguments are an object".to_owned()
        }
        Ok(_) => return Some(schema),
    };
    r.problem_at(name, format!("`{at}.parameters` {fault}"));
    None
}

fn command_action(
    r: &mut Reader<'_>,
    at: &str,
    name: &Text,
    words: &[Text],
    raw: &RawTool,
    config: &Config,
) -> Option<ToolAction> {
    let command = command(r, at, name, Some(words));
    let working_dir = match &raw.working_dir {
        Some(written) => r.value(&format!("{at}.working_dir"), written, &absolute_path()),
        None => Some(directory_of_file(config)),
    };
    let env = raw.env.as_ref().map(|env| variables(r, at, env));
    let (command, working_dir) = (command?, working_dir?);
    let program = command.first().filter(|program| program.contains('/'));
    if let Some(program) = program
        && config.capabilities.contains(&Capability::Tools)
        && !working_dir.join(program).is_file()
    {
        let program = working_dir.join(program);
        r.warn(format!(
            "`{at}`: there is no program `{}`",
            program.display()
        ));
    }
    Some(ToolAction::Command {
        command,
        working_dir,
        env: secrets(env.unwrap_or_default()),
    })
}

/// The directory of the file of the configuration, or else the working directory.
fn directory_of_file(config: &Config) -> PathBuf {
    let file = config.source.as_deref();
    let directory = file.and_then(|file| std::path::absolute(file).ok());
    let directory = directory.and_then(|file| Some(file.parent()?.to_owned()));
    directory
        .or_else(|| std::env::current_dir().ok())
        .unwrap_or_else(|| PathBuf::from("/"))
}

fn request_action(
    r: &mut Reader<'_>,
    at: &str,
    name: &Text,
    raw: &RawToolRequest,
) -> Option<ToolAction> {
    let at = format!("{at}.http");
    let method = match &raw.method {
        Some(written) => r.value(&format!("{at}.method"), written, &method()),
        None => Some(ToolMethod::Post),
    };
    let url = if let Some(written) = &raw.url {
        r.value(&format!("{at}.url"), written, &address())
    } else {
        let problem = format!("`{at}` has no `url`; expected an http:// or https:// address");
        r.problem_at(name, problem);
        None
    };
    let headers = raw
        .headers
        .as_ref()
        .map(|headers| headers_of(r, &at, headers));
    Some(ToolAction::Http {
        method: method?,
        url: url?,
        headers: headers.unwrap_or_default(),
    })
}

fn headers_of(r: &mut Reader<'_>, at: &str, written: &Entries<Text>) -> SecretPairs {
    let mut headers = SecretPairs::default();
    for (name, value) in &written.0 {
        let at = format!("{at}.headers.{}", name.as_str());
        if HeaderName::from_bytes(name.as_str().as_bytes()).is_err() {
            r.problem_at(name, format!("`{at}`: expected the name of a header"));
            continue;
        }
        let form = Form::new("the value of a header", |text| {
            HeaderValue::from_str(text).ok().map(|_| text.to_owned())
        });
        if let Some(value) = r.value(&at, value, &form.secret()) {
            headers.0.push((name.as_str().to_owned(), value.into()));
        }
    }
    headers
}

fn bounds(
    r: &mut Reader<'_>,
    at: &str,
    timeout: Option<&Text>,
    max_output: Option<&Text>,
) -> ToolBounds {
    let timeout = timeout.and_then(|written| {
        let form = duration(Duration::from_secs(1)..=LONGEST);
        r.value(&format!("{at}.timeout"), written, &form)
    });
    let max_output = max_output.and_then(|written| {
        let form = bytes(1 << 10..=1 << 30);
        r.value(&format!("{at}.max_output"), written, &form)
    });
    ToolBounds {
        timeout: timeout.unwrap_or(BOUNDS.timeout),
        max_output: max_output.unwrap_or(BOUNDS.max_output),
    }
}

fn secrets(variables: impl IntoIterator<Item = (String, String)>) -> SecretPairs {
    let variables = variables.into_iter();
    SecretPairs(
        variables
            .map(|(name, value)| (name, SecretString::from(value)))
            .collect(),
    )
}

fn method() -> Form<ToolMethod> {
    Form::new("GET or POST", ToolMethod::from_name)
}

fn address() -> Form<Url> {
    Form::new(
        "an http:// or https:// address with a host, without a login; secrets belong into `headers`",
        |text| {
            let url = Url::parse(text).ok()?;
            let has_login = !url.username().is_empty() || url.password().is_some();
            let is_web = matches!(url.scheme(), "http" | "https") && url.has_host();
            (is_web && !has_login).then_some(url)
        },
    )
    .secret()
}

#[cfg(test)]
mod tests {
    use longshore_settings::Environment;

    use super::*;

    fn load(yaml: &str) -> Result<Config, String> {
        let env = Environment::from_pairs([("TOKEN", "hunter2")]);
        Config::from_yaml(&env, Path::new("/etc/longshore.yaml"), yaml).map_err(|e| e.to_string())
    }

    #[test]
    fn what_is_omitted_has_a_default() {
        let config = load(
            "workspaces: { app: { directory: /srv/app } }
tools: { lookup: { description: Looks up., command: [./lookup], env: { TOKEN: '${TOKEN}' } } }
",
        )
        .unwrap();
        let workspace = &config.workspaces[&WorkspaceName::parse("app").unwrap()];
        assert_eq!(workspace.max_file_bytes, FILE_BYTES);
        assert_eq!(workspace.bounds.timeout, RUN_TIMEOUT);
        assert!(workspace.run.is_empty());
        let tool = &config.tools[&ToolName::parse("lookup").unwrap()];
        assert_eq!(tool.bounds, BOUNDS);
        let ToolAction::Command {
            working_dir, env, ..
        } = &tool.action
        else {
            panic!("{tool:?}");
        };
        assert_eq!(working_dir, Path::new("/etc"));
        assert_eq!(env.exposed().collect::<Vec<_>>(), [("TOKEN", "hunter2")]);
        assert!(!format!("{config:?}").contains("hunter2"));
        // Only a worker with the capability reads the queue and needs the files.
        assert_eq!(config.queues.len(), 1);
        assert_eq!(config.warnings, Vec::<String>::new());
    }

    #[test]
    fn a_worker_that_runs_tools_is_warned_of_missing_files() {
        let config = load(
            "capabilities: [tools]
workspaces: { app: { directory: /no/such/directory } }
tools: { lookup: { description: Looks up., command: [./no-such-lookup] } }
",
        )
        .unwrap();
        assert_eq!(
            config.warnings,
            [
                "`workspaces.app`: there is no directory `/no/such/directory`",
                "`tools.lookup`: there is no program `/etc/./no-such-lookup`",
            ]
        );
    }

    #[test]
    fn every_fault_is_reported() {
        let yaml = "workspaces:
  two words: { directory: / }
  a: { directory: here, max_file_bytes: 1GiB, run: [[]], timeout: 2h }
  b: { dirctory: / }
tools:
  run: { description: x, command: [x] }
  two words: { description: x, command: [x] }
  a: { command: [x], parameters: { type: objekt } }
  b: { description: x, parameters: { type: string }, command: [x], http: { url: 'https://host/' } }
  c: { description: x, http: { method: PUT, headers: { 'a b': x } }, working_dir: / }
  d: { description: x, http: { url: 'https://me:secret@host/' } }
  e: { description: x, htp: { url: 'https://host/' } }
";
        insta::assert_snapshot!(load(yaml).unwrap_err(), @r#"
        /etc/longshore.yaml:2: `workspaces`: workspace name `two words` is not valid: expected 1 to 64 characters of [A-Za-z0-9._-]
        /etc/longshore.yaml:3: `workspaces.a.directory` is `here`; expected an absolute path
        /etc/longshore.yaml:3: `workspaces.a.max_file_bytes` is `1GiB`; expected a number of bytes from 1024 to 16777216, such as 65536, 512KiB or 1MiB
        /etc/longshore.yaml:3: `workspaces.a.run` has no `command`; expected a program and its arguments
        /etc/longshore.yaml:3: `workspaces.a.timeout` is `2h`; expected a time from 1s to 1h, such as 500ms, 30s, 10m, 24h or 30d (a bare number is seconds)
        /etc/longshore.yaml:4: `workspaces.b.dirctory` is not a setting; did you mean `directory`?
        /etc/longshore.yaml:6: `tools`: `run` is a tool of every workspace; choose another name
        /etc/longshore.yaml:7: `tools`: tool name `two words` is not valid: expected 1 to 64 characters of [A-Za-z0-9_-]
        /etc/longshore.yaml:8: `tools.a` has no `description`; expected what it does, for the model
        /etc/longshore.yaml:8: `tools.a.parameters` is no JSON schema: "objekt" is not valid under any of the schemas listed in the 'anyOf' keyword
        /etc/longshore.yaml:9: `tools.b.parameters` must have `type: object`: arguments are an object
        /etc/longshore.yaml:9: `tools.b`: expected either `command` or `http`
        /etc/longshore.yaml:10: `tools.c.working_dir` needs `command`, not `http`
        /etc/longshore.yaml:10: `tools.c.http.method` is `PUT`; expected GET or POST
        /etc/longshore.yaml:10: `tools.c.http` has no `url`; expected an http:// or https:// address
        /etc/longshore.yaml:10: `tools.c.http.headers.a b`: expected the name of a header
        /etc/longshore.yaml:11: `tools.d.http.url` is not valid; expected an http:// or https:// address with a host, without a login; secrets belong into `headers`
        /etc/longshore.yaml:12: `tools.e.htp` is not a setting; did you mean `http`?
        "#);
    }

    #[test]
    fn a_pushed_configuration_changes_no_tool() {
        let started = load("tools: { lookup: { description: Looks up., command: [x] } }").unwrap();
        let pushed = "tools: { lookup: { description: Looks up., command: [rm] } }
workspaces: { app: { directory: / } }
";
        let now = started
            .with_pushed(&Environment::default(), 3, pushed)
            .unwrap();
        assert_eq!(now.tools, started.tools);
        assert!(now.workspaces.is_empty());
        assert_eq!(
            now.warnings,
            [
                "pushed config 3:1: `tools` is ignored in a pushed configuration; set it in the file or the environment of each process",
                "pushed config 3:2: `workspaces` is ignored in a pushed configuration; set it in the file or the environment of each process",
            ]
        );
    }
}

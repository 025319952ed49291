//! Reads the section `encryption:`.

use longshore_protocol::encryption::{BadKey, KeyId, Keyring};
use longshore_settings::{Reader, Text, interpolate::is_only_variables};
use secrecy::SecretString;

use crate::table::RawEncryption;

/// How to make a key.
const REMEDY: &str = "expected 32 bytes in base64 (make one with `openssl rand -base64 32`)";

/// Reads the section `encryption:`. The keyring has no keys if the section has none, or is not valid.
pub(super) fn keyring(r: &mut Reader<'_>, raw: &RawEncryption) -> Keyring {
    let written = raw.keys.as_ref().map(|keys| keys.0.as_slice());
    let written = written.unwrap_or_default();
    let problems_before = r.problem_count();
    let keys: Vec<(KeyId, SecretString)> = written
        .iter()
        .filter_map(|(name, variable)| key(r, name, variable))
        .collect();
    if let Some(current) = &raw.current {
        r.record_origin("encryption.current", current);
    }
    let is_sound = r.problem_count() == problems_before;
    match (written.first(), &raw.current) {
        (None, Some(current)) => r.problem_at(
            current,
            "`encryption.current` is set without `encryption.keys`; expected `keys: {NAME: \"${VARIABLE}\"}` beside it",
        ),
        (Some((first, _)), None) => r.problem_at(
            first,
            "`encryption.current` is needed: the name of the key that encrypts",
        ),
        (Some(_), Some(current)) if is_sound => {
            let id = KeyId::parse(current.as_str());
            match id.and_then(|id| Keyring::new(keys, id).ok()) {
                Some(keyring) => return keyring,
                None => report_current(r, written, current),
            }
        }
        (None, None) | (Some(_), Some(_)) => {}
    }
    Keyring::default()
}

fn report_current(r: &mut Reader<'_>, keys: &[(Text, Text)], current: &Text) {
    let names: Vec<&str> = keys.iter().map(|(name, _)| name.as_str()).collect();
    let text = format!(
        "`encryption.current` is `{}`; expected one of `encryption.keys`: {}",
        current.as_str(),
        names.join(", ")
    );
    r.problem_at(current, text);
}

/// A key and its name; `None` if it is not valid, which is reported.
fn key(r: &mut Reader<'_>, name: &Text, written: &Text) -> Option<(KeyId, SecretString)> {
    let path = format!("encryption.keys.{}", name.as_str());
    r.record_origin(&path, name);
    let Some(id) = KeyId::parse(name.as_str()) else {
        let text = format!(
            "`encryption.keys` has a key `{}`; expected a name of 1 to 32 characters of [a-z0-9_-]",
            name.as_str()
        );
        r.problem_at(name, text);
        return None;
    };
    if !is_only_variables(written.as_str()) {
        let text = format!(
            "`{path}` is not valid; expected ${{NAME}}, the name of a variable that contains the key"
        );
        r.problem_at(written, text);
        return None;
    }
    let key = SecretString::from(r.resolve(&path, Some(written), written.as_str())?);
    match Keyring::check(&key) {
        Ok(()) => return Some((id, key)),
        Err(BadKey::WrongLength(bytes)) => {
            r.problem_at(written, format!("`{path}` has {bytes} bytes; {REMEDY}"));
        }
        Err(_) => r.problem_at(written, format!("`{path}` is not base64; {REMEDY}")),
    }
    None
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use longshore_settings::Environment;

    use crate::{Config, tests::KEY};

    fn load(yaml: &str) -> Result<Config, String> {
        let pairs = [
            ("KEY_1", KEY),
            ("KEY_2", KEY),
            ("SHORT", "AAEC"),
            ("WORDS", "hunter2!"),
        ];
        let env = Environment::from_pairs(pairs);
        Config::from_yaml(&env, Path::new("longshore.yaml"), yaml).map_err(|e| e.to_string())
    }

    #[test]
    fn keys_are_named_by_variables() {
        let yaml = "encryption: {keys: {k1: \"${KEY_1}\", k2: \"${KEY_2}\"}, current: k2}\n";
        let config = load(yaml).unwrap();
        assert_eq!(config.keyring.current().unwrap().as_str(), "k2");
        let shown = config.shown();
        let lines: Vec<String> = shown
            .iter()
            .filter(|line| line.name.starts_with("encryption"))
            .map(|line| format!("{}: {}", line.name, line.value))
            .collect();
        assert_eq!(
            lines,
            [
                "encryption.keys.k1: set",
                "encryption.keys.k2: set",
                "encryption.current: k2"
            ]
        );
        assert!(!format!("{config:?}").contains(KEY));
        assert!(!load("").unwrap().keyring.is_on());
    }

    #[test]
    fn what_is_wrong_is_named_without_the_key() {
        let error = |yaml: &str| load(yaml).unwrap_err();
        insta::assert_snapshot!(error("encryption:\n  keys:\n    a: \"${SHORT}\"\n    b: \"${WORDS}\"\n    c: \"${NONE}\"\n    d: AAEC\n    E: \"${KEY_1}\"\n  current: a\n"), @r"
        longshore.yaml:3: `encryption.keys.a` has 3 bytes; expected 32 bytes in base64 (make one with `openssl rand -base64 32`)
        longshore.yaml:4: `encryption.keys.b` is not base64; expected 32 bytes in base64 (make one with `openssl rand -base64 32`)
        longshore.yaml:5: `encryption.keys.c` needs the variable NONE, which is not set; set it, or write ${NONE:-default}
        longshore.yaml:6: `encryption.keys.d` is not valid; expected ${NAME}, the name of a variable that contains the key
        longshore.yaml:7: `encryption.keys` has a key `E`; expected a name of 1 to 32 characters of [a-z0-9_-]
        ");
        insta::assert_snapshot!(error("encryption:\n  keys: {k1: \"${KEY_1}\"}\n  current: k2\n"), @r"longshore.yaml:3: `encryption.current` is `k2`; expected one of `encryption.keys`: k1");
        insta::assert_snapshot!(error("encryption:\n  keys: {k1: \"${KEY_1}\"}\n"), @r"longshore.yaml:2: `encryption.current` is needed: the name of the key that encrypts");
        insta::assert_snapshot!(error("encryption:\n  current: k2\n"), @r#"longshore.yaml:2: `encryption.current` is set without `encryption.keys`; expected `keys: {NAME: "${VARIABLE}"}` beside it"#);
    }

    #[test]
    fn a_reload_keeps_the_keys() {
        let env = Environment::from_pairs([("KEY_1", KEY), ("KEY_2", KEY)]);
        let path = Path::new("longshore.yaml");
        let yaml = "encryption: {keys: {k1: \"${KEY_1}\"}, current: k1}\n";
        let started = Config::from_yaml(&env, path, yaml).unwrap();
        let changed = "encryption: {keys: {k1: \"${KEY_1}\", k2: \"${KEY_2}\"}, current: k2}\n";
        let now = started.with_file(&env, path, changed).unwrap();
        assert_eq!(now.keyring.current().unwrap().as_str(), "k1");
        assert_eq!(
            now.warnings,
            ["longshore.yaml:1: `encryption` keeps its value until the process restarts"]
        );
        let pushed = started.with_pushed(&env, 3, changed).unwrap();
        assert_eq!(
            pushed.warnings,
            [
                "pushed config 3:1: `encryption` is ignored in a pushed configuration; set it in the file or the environment of each process"
            ]
        );
        let silent = started.with_pushed(&env, 3, "grace: 1s\n").unwrap();
        assert!(silent.warnings.is_empty() && silent.keyring.is_on());
    }
}

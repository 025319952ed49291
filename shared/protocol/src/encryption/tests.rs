use chrono::DateTime;
use secrecy::SecretString;
use serde_json::{Map, json};

use super::{CannotDecrypt, KeyId, Keyring, Metadata, describe_encrypted, key_of, unopened_key};
use crate::{
    call::ToolCall,
    chain::{ChainId, Extracted, MergeKind, StepName, StepRef, Validation},
    checkpoint::Checkpoint,
    envelope::RawMessage,
    id::JobId,
    outcome::{Merged, ModelAnswer, Outcome},
    tool_rounds::{ToolRecord, ToolRounds},
};

/// The bytes from 0 to 31.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// What `docs/PROTOCOL.md` shows: the job in JSON, encrypted with `KEY` and the nonce of the bytes from 0 to 11 by another
/// implementation.
const ENCRYPTED: &str = "enc:v1:k1:AAECAwQFBgcICQoLPCCmaaqIsm+ve7XF0IQdTfe+9VGVWy8OUQqE92RJY91tf9uO3O8w5dhmf6Yb+X1oI5rs6TQ/kgI=";
const PLAIN: &str = r#"{"prompt":"Name three primary colours."}"#;

fn id(name: &str) -> KeyId {
    KeyId::parse(name).unwrap()
}

fn keyring(names: &[&str], current: &str) -> Keyring {
    let keys = names.iter().map(|name| {
        let first = name.as_bytes().last().unwrap() - b'1';
        (
            id(name),
            SecretString::from(KEY.replacen('A', &char::from(b'A' + first).to_string(), 1)),
        )
    });
    Keyring::new(keys, id(current)).unwrap()
}

#[test]
fn the_value_of_the_documentation_is_decrypted() {
    let keyring = keyring(&["k1"], "k1");
    let plain = keyring.open("job", ENCRYPTED).unwrap().unwrap();
    assert_eq!(String::from_utf8(plain).unwrap(), PLAIN);
    let document = include_str!("../../../../docs/PROTOCOL.md");
    assert!(document.contains(ENCRYPTED) && document.contains(KEY));
}

#[test]
fn a_value_comes_back_and_differs_each_time() {
    let keyring = keyring(&["k1", "k2"], "k2");
    let seal = || keyring.seal("job", PLAIN.as_bytes()).unwrap().unwrap();
    let (one, other) = (seal(), seal());
    assert_ne!(one, other);
    assert_eq!(key_of(&one), Some(id("k2")));
    assert_eq!(keyring.opened_text("job", one.clone()), PLAIN);
    // What is encrypted is not encrypted again.
    assert_eq!(keyring.seal("job", one.as_bytes()).unwrap(), None);
}

#[test]
fn a_value_that_was_changed_or_moved_is_refused() {
    let keyring = keyring(&["k1", "k2"], "k1");
    let not_authentic = Err(CannotDecrypt::NotAuthentic(id("k1")));
    assert_eq!(keyring.open("prompt", ENCRYPTED), not_authentic);
    let changed = ENCRYPTED.replace("kgI=", "kgM=");
    assert_eq!(keyring.open("job", &changed), not_authentic);
    let renamed = ENCRYPTED.replace(":k1:", ":k2:");
    let refused = Err(CannotDecrypt::NotAuthentic(id("k2")));
    assert_eq!(keyring.open("job", &renamed), refused);
    let unknown = ENCRYPTED.replace(":k1:", ":k9:");
    let error = keyring.open("job", &unknown).unwrap_err();
    assert_eq!(error, CannotDecrypt::UnknownKey(id("k9")));
    assert_eq!(
        error.to_string(),
        "it is encrypted with the key `k9`, which is not in `encryption.keys`; add the key, then replay the job"
    );
}

#[test]
fn only_the_exact_form_is_an_encrypted_value() {
    for plain in [
        "",
        "enc:",
        "enc:v1:k1",
        "enc:v1:k1:",
        "enc:v1:k1:AAAA",
        "enc:v1:K1:AAECAwQFBgcICQoLPCCmaaqIsm+ve7XF0IQdTfe+9VGV",
        "enc:v2:k1:AAECAwQFBgcICQoLPCCmaaqIsm+ve7XF0IQdTfe+9VGV",
        "enc:v1:k1:AAECAwQFBgcICQoLPCCmaaqIsm+ve7XF0IQdTfe+9VGV, as a prompt",
    ] {
        assert_eq!(key_of(plain), None, "{plain}");
        assert_eq!(Keyring::default().open("prompt", plain), Ok(None));
    }
}

#[test]
fn without_keys_nothing_is_encrypted() {
    let keyring = Keyring::default();
    assert_eq!(keyring.seal("job", b"x"), Ok(None));
    let outcome = outcome();
    assert_eq!(*keyring.sealed(&outcome).unwrap(), outcome);
    let unknown = Err(CannotDecrypt::UnknownKey(id("k1")));
    assert_eq!(keyring.open("job", ENCRYPTED), unknown);
}

fn outcome() -> Outcome {
    Outcome {
        output: Some("Lima".to_owned()),
        error: Some("a model said Lima".to_owned()),
        error_class: Some("bad_output".to_owned()),
        logprobs: Some(json!([{"token": "Lima"}])),
        metadata: json!({"city": "Lima"}).as_object().cloned(),
        tool_calls: vec![crate::call::ToolCall::new(
            "1",
            "find",
            "{\"city\":\"Lima\"}",
        )],
        validation: Some(Box::new(Validation::rejected(vec![
            "Lima is not in Chile".to_owned(),
        ]))),
        extracted: Some(Box::new(Extracted::Json(json!({"city": "Lima"})))),
        merged: Some(Box::new(Merged {
            by: MergeKind::BestOf,
            explanation: "scores [9]: Lima is right".to_owned(),
            chosen: Some(0),
            agreed: None,
            answers: vec![ModelAnswer {
                output: Some("Lima".to_owned()),
                error: Some("a model said Lima".to_owned()),
                error_class: Some("bad_output".to_owned()),
                ..ModelAnswer::from(Outcome::expired(JobId::parse("b").unwrap()))
            }],
        })),
        ..Outcome::expired(JobId::parse("a").unwrap())
    }
}

#[test]
fn the_content_of_an_outcome_is_encrypted_and_comes_back() {
    let keyring = keyring(&["k1"], "k1");
    let outcome = outcome();
    let sealed = keyring.sealed(&outcome).unwrap().into_owned();
    let json = serde_json::to_string(&sealed).unwrap();
    assert!(
        !json.contains("Lima") && json.contains("bad_output"),
        "{json}"
    );
    let read: Outcome = serde_json::from_str(&json).unwrap();
    assert_eq!(keyring.opened(read), outcome);
    // Without the key it stays as it is, and whoever needs it can tell.
    let mut kept = Keyring::default().opened(sealed);
    assert_eq!(unopened_key(&mut kept), Some(id("k1")));
    assert_eq!(unopened_key(&mut outcome.clone()), None);
}

#[test]
fn errors_that_longshore_writes_itself_stay_readable() {
    let keyring = keyring(&["k1"], "k1");
    let expired = Outcome::expired(JobId::parse("a").unwrap());
    assert_eq!(*keyring.sealed(&expired).unwrap(), expired);
}

#[test]
fn an_error_that_quotes_another_is_decrypted() {
    let keyring = keyring(&["k1"], "k1");
    let error = keyring.sealed_text("error", "HTTP 400").unwrap();
    let quoted = format!("step a failed: {error} (2 more failed)");
    let opened = keyring.opened_error(quoted.clone());
    assert_eq!(opened, "step a failed: HTTP 400 (2 more failed)");
    let shown = describe_encrypted(&quoted);
    assert_eq!(
        shown,
        "step a failed: (encrypted with key k1) (2 more failed)"
    );
    assert_eq!(
        describe_encrypted("enc:v1 is a prefix, enc:v1:k1:AA too"),
        "enc:v1 is a prefix, enc:v1:k1:AA too"
    );
}

#[test]
fn messages_and_steps_are_encrypted_value_by_value() {
    let keyring = keyring(&["k1"], "k1");
    let bytes = |text: &str| text.as_bytes().to_vec();
    let message = RawMessage {
        fields: vec![
            (bytes("prompt"), bytes("Name Lima.")),
            (bytes("raw"), vec![0, 159, 146]),
        ],
    };
    let mut sealed = message.clone();
    keyring.seal_message(&mut sealed).unwrap();
    assert!(
        sealed
            .fields
            .iter()
            .all(|(_, value)| value.starts_with(b"enc:v1:k1:"))
    );
    let error = Keyring::default()
        .open_message(&mut sealed.clone())
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "field `prompt`: it is encrypted with the key `k1`, which is not in `encryption.keys`; add the key, then replay \
         the job"
    );
    keyring.open_message(&mut sealed).unwrap();
    assert_eq!(sealed, message);

    let chain = ChainId::parse("c").unwrap();
    let step = StepRef {
        item: Some(json!({"city": "Lima"})),
        when: Some("'Lima' in item.city".to_owned()),
        ..StepRef::new(chain, StepName::parse("s").unwrap())
    };
    let sealed = keyring.sealed(&step).unwrap().into_owned();
    assert!(!format!("{sealed:?}").contains("Lima"));
    assert_eq!(keyring.opened(sealed), step);
}

#[test]
fn the_conversation_with_tools_is_encrypted_in_checkpoint_and_outcome() {
    let keyring = keyring(&["k1"], "k1");
    let mut rounds = ToolRounds::default();
    let call = ToolCall::new("c", "read_file", r#"{"path":"Lima"}"#);
    rounds.begin_round("Where is Lima?".to_owned(), vec![call], None);
    let record = ToolRecord {
        round: 1,
        tool: "read_file".to_owned(),
        arguments: r#"{"path":"Lima"}"#.to_owned(),
        ok: false,
        error: Some("there is no Lima".to_owned()),
        duration_ms: 1,
        interrupted: false,
    };
    rounds.end_call("Lima is in Peru.".to_owned(), record);
    let outcome = Outcome {
        tools: Some(Box::new(rounds.outcome.clone())),
        ..outcome()
    };
    let sealed = keyring.sealed(&outcome).unwrap().into_owned();
    assert!(!format!("{sealed:?}").contains("Lima"), "{sealed:?}");
    assert_eq!(keyring.opened(sealed), outcome);
    let checkpoint = Checkpoint {
        tools: Some(Box::new(rounds)),
        ..Checkpoint::fresh(JobId::parse("a").unwrap(), DateTime::UNIX_EPOCH)
    };
    let sealed = keyring.sealed(&checkpoint).unwrap().into_owned();
    assert!(!format!("{sealed:?}").contains("Lima"), "{sealed:?}");
    assert_eq!(keyring.opened(sealed), checkpoint);
}

#[test]
fn encrypted_metadata_is_still_an_object() {
    let keyring = keyring(&["k1"], "k1");
    let metadata = Metadata(Map::from_iter([("city".to_owned(), json!("Lima"))]));
    let sealed = keyring.sealed(&metadata).unwrap().into_owned();
    assert_eq!(sealed.0.keys().collect::<Vec<_>>(), ["enc"]);
    assert_eq!(keyring.opened(sealed).0, metadata.0);
}

#[test]
fn what_a_keyring_shows_is_no_key() {
    assert_eq!(
        format!("{:?}", keyring(&["k1", "k2"], "k2")),
        "{KeyId(\"k1\"), KeyId(\"k2\")}"
    );
}

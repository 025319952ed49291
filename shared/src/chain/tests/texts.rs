//! The pictures of a chain.

use super::{
    super::{dot, mermaid},
    EVERYTHING, good,
};

#[test]
fn a_chain_as_mermaid() {
    insta::assert_snapshot!(mermaid(&good(EVERYTHING)), @"");
}

#[test]
fn a_chain_as_dot() {
    insta::assert_snapshot!(dot(&good(EVERYTHING)), @"");
}

#[test]
fn quotes_in_labels_do_not_end_them() {
    let text = r#"{"steps":[{"name":"end","prompt":"p"},{"name":"b","needs":["end"],"when":"steps.end.output == \"a\\\\b\"","prompt":"p"}],"on_complete":{"webhook":"http://h/"}}"#;
    insta::assert_snapshot!(mermaid(&good(text)), @"");
    insta::assert_snapshot!(dot(&good(text)), @"");
}

//! Diagrams of a chain.

use super::{
    super::{dot, mermaid},
    EVERYTHING, good,
};

#[test]
fn a_chain_as_mermaid() {
    insta::assert_snapshot!(mermaid(&good(EVERYTHING)), @r#"
    flowchart TD
        s_research["research"]
        s_each[["each<br>for each of steps.research.json.cities<br>at least 2<br>on failure: continue"]]
        s_merge["merge"]
        s_check["check<br>when steps.merge.json.score > 7<br>on failure: escalate"]
        s_research --> s_each
        s_each ==> s_merge
        s_merge --> s_check
        after(["after the end: a job"])
        s_check -.-> after
    "#);
}

#[test]
fn a_chain_as_dot() {
    insta::assert_snapshot!(dot(&good(EVERYTHING)), @r#"
    digraph chain {
        node [shape=box];
        "research" [label="research"];
        "each" [label="each\nfor each of steps.research.json.cities\nat least 2\non failure: continue", shape=box3d];
        "merge" [label="merge"];
        "check" [label="check\nwhen steps.merge.json.score > 7\non failure: escalate"];
        "research" -> "each";
        "each" -> "merge" [style=bold];
        "merge" -> "check";
        "@after" [label="after the end: a job", shape=oval];
        "check" -> "@after" [style=dashed];
    }
    "#);
}

#[test]
fn quotes_in_labels_do_not_end_them() {
    let text = r#"{"steps":[{"name":"end","prompt":"p"},{"name":"b","needs":["end"],"when":"steps.end.output == \"a\\\\b\"","prompt":"p"}],"on_complete":{"webhook":"http://h/"}}"#;
    insta::assert_snapshot!(mermaid(&good(text)), @r#"
    flowchart TD
        s_end["end"]
        s_b["b<br>when steps.end.output == &quot;a\\b&quot;"]
        s_end --> s_b
        after(["after the end: a webhook"])
        s_b -.-> after
    "#);
    insta::assert_snapshot!(dot(&good(text)), @r#"
    digraph chain {
        node [shape=box];
        "end" [label="end"];
        "b" [label="b\nwhen steps.end.output == \"a\\\\b\""];
        "end" -> "b";
        "@after" [label="after the end: a webhook", shape=oval];
        "b" -> "@after" [style=dashed];
    }
    "#);
}

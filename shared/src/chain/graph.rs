//! Pictures of a chain, as texts that Mermaid and Graphviz draw.

use std::fmt::Write as _;

use super::{Document, OnComplete, OnFailure, Step};

/// A flowchart for Mermaid: <https://mermaid.js.org/syntax/flowchart.html>.
pub fn mermaid(document: &Document) -> String {
    let mut text = String::from("flowchart TD\n");
    for step in &document.steps {
        // Prefixed, for `end` and the like are words of Mermaid's own.
        let (open, close) = if step.foreach.is_some() {
            ("[[", "]]")
        } else {
            ("[", "]")
        };
        let label = label(step).replace('"', "#quot;").replace('\n', "<br>");
        let _ = writeln!(text, "    s_{}{open}\"{label}\"{close}", step.name);
    }
    for (need, step) in edges(document) {
        let _ = writeln!(
            text,
            "    s_{need} {} s_{}",
            arrow(step, "-->", "==>", need),
            step.name
        );
    }
    if let Some(after) = after(document) {
        let _ = writeln!(text, "    after([\"{after}\"])");
        for step in last(document) {
            let _ = writeln!(text, "    s_{} -.-> after", step.name);
        }
    }
    text
}

/// A graph for Graphviz: <https://graphviz.org/doc/info/lang.html>.
pub fn dot(document: &Document) -> String {
    let mut text = String::from("digraph chain {\n    node [shape=box];\n");
    for step in &document.steps {
        let shape = if step.foreach.is_some() {
            ", shape=box3d"
        } else {
            ""
        };
        let label = label(step)
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n");
        let _ = writeln!(text, "    \"{}\" [label=\"{label}\"{shape}];", step.name);
    }
    for (need, step) in edges(document) {
        let style = arrow(step, "", " [style=bold]", need);
        let _ = writeln!(text, "    \"{need}\" -> \"{}\"{style};", step.name);
    }
    if let Some(after) = after(document) {
        let _ = writeln!(text, "    \"@after\" [label=\"{after}\", shape=oval];");
        for step in last(document) {
            let _ = writeln!(text, "    \"{}\" -> \"@after\" [style=dashed];", step.name);
        }
    }
    text.push_str("}\n");
    text
}

fn edges(document: &Document) -> impl Iterator<Item = (&super::StepName, &Step)> {
    let steps = document.steps.iter();
    steps.flat_map(|step| step.needs.iter().map(move |need| (need, step)))
}

/// Where answers are gathered, the arrow is a thick one.
fn arrow<'a>(step: &Step, plain: &'a str, gathers: &'a str, need: &super::StepName) -> &'a str {
    if step.gather.as_ref() == Some(need) {
        gathers
    } else {
        plain
    }
}

/// The step's name, and below it what is special about it.
fn label(step: &Step) -> String {
    let mut label = step.name.to_string();
    if let Some(list) = &step.foreach {
        let _ = write!(label, "\nfor each of {list}");
    }
    if let Some(condition) = &step.when {
        let _ = write!(label, "\nwhen {condition}");
    }
    if let Some(least) = step.min_success {
        let _ = write!(label, "\nat least {least}");
    }
    if step.on_failure != OnFailure::Fail {
        let _ = write!(label, "\non failure: {}", step.on_failure);
    }
    label
}

fn after(document: &Document) -> Option<&'static str> {
    document.on_complete.as_ref().map(|after| match after {
        OnComplete::Job(_) => "after the end: a job",
        OnComplete::Webhook(_) => "after the end: a webhook",
    })
}

/// The steps that no other needs.
fn last(document: &Document) -> impl Iterator<Item = &Step> {
    let dependents = document.dependents();
    let steps = document.steps.iter();
    steps.filter(move |step| !dependents.contains_key(&step.name))
}

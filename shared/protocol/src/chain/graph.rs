//! Diagrams of a chain for Mermaid and Graphviz.

use super::{Document, OnComplete, OnFailure, Person, Step, StepName};

/// A flowchart for Mermaid: <https://mermaid.js.org/syntax/flowchart.html>.
pub fn mermaid(document: &Document) -> String {
    let mut lines = vec!["flowchart TD".to_owned()];
    for step in &document.steps {
        // The prefix avoids Mermaid's keywords, such as `end`.
        let (open, close) = if step.has_items() {
            ("[[", "]]")
        } else {
            ("[", "]")
        };
        let label = label(step)
            .replace('&', "&amp;")
            .replace('"', "&quot;")
            .replace('<', "&lt;")
            .replace('\n', "<br>");
        lines.push(format!("    s_{}{open}\"{label}\"{close}", step.name));
    }
    for (need, step) in edges(document) {
        let arrow = arrow(step, "-->", "==>", need);
        lines.push(format!("    s_{need} {arrow} s_{}", step.name));
    }
    if let Some(after) = after(document) {
        lines.push(format!("    after([\"{after}\"])"));
        lines.extend(last(document).map(|step| format!("    s_{} -.-> after", step.name)));
    }
    lines.push(String::new());
    lines.join("\n")
}

/// A graph for Graphviz: <https://graphviz.org/doc/info/lang.html>.
pub fn dot(document: &Document) -> String {
    let mut lines = vec![
        "digraph chain {".to_owned(),
        "    node [shape=box];".to_owned(),
    ];
    for step in &document.steps {
        let shape = if step.has_items() {
            ", shape=box3d"
        } else {
            ""
        };
        let label = label(step)
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n");
        lines.push(format!("    \"{}\" [label=\"{label}\"{shape}];", step.name));
    }
    for (need, step) in edges(document) {
        let style = arrow(step, "", " [style=bold]", need);
        lines.push(format!("    \"{need}\" -> \"{}\"{style};", step.name));
    }
    if let Some(after) = after(document) {
        lines.push(format!("    \"@after\" [label=\"{after}\", shape=oval];"));
        let last = last(document);
        lines.extend(
            last.map(|step| format!("    \"{}\" -> \"@after\" [style=dashed];", step.name)),
        );
    }
    lines.push("}\n".to_owned());
    lines.join("\n")
}

fn edges(document: &Document) -> impl Iterator<Item = (&StepName, &Step)> {
    let steps = document.steps.iter();
    steps.flat_map(|step| step.needs.iter().map(move |need| (need, step)))
}

/// A gathered step gets a thick arrow.
fn arrow<'a>(step: &Step, plain: &'a str, gathers: &'a str, need: &StepName) -> &'a str {
    if step.gather.as_ref() == Some(need) {
        gathers
    } else {
        plain
    }
}

/// The step's name, and below it what is special about it.
fn label(step: &Step) -> String {
    let lines = [
        Some(step.name.to_string()),
        step.foreach
            .as_ref()
            .map(|list| format!("for each of {list}")),
        step.models.as_ref().map(|models| format!("asks {models}")),
        step.merge
            .as_ref()
            .map(|of| format!("merges by {}", of.merge.kind())),
        step.not_by
            .as_ref()
            .map(|not_by| format!("not by the {not_by}")),
        step.gate.as_ref().map(|gate| format!("gate {gate}")),
        step.validate
            .as_ref()
            .map(|validate| format!("checks {}", validate.of)),
        step.extract.map(|part| format!("gives {part}")),
        step.when
            .as_ref()
            .map(|condition| format!("when {condition}")),
        step.min_success.map(|least| format!("at least {least}")),
        (step.on_failure != OnFailure::Fail).then(|| format!("on failure: {}", step.on_failure)),
        step.person.as_ref().map(asked),
        step.tools.as_ref().map(|tools| format!("tools {tools}")),
    ];
    lines.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

/// Whom the step asks.
fn asked(person: &Person) -> String {
    let asks = person.asks.as_deref();
    asks.map_or_else(
        || "asks a person".to_owned(),
        |asks| format!("asks a person: {asks}"),
    )
}

fn after(document: &Document) -> Option<&'static str> {
    document.on_complete.as_ref().map(|after| match after {
        OnComplete::Job(_) => "after the end: a job",
        OnComplete::Webhook(_) => "after the end: a webhook",
    })
}

/// The steps that no other step needs.
fn last(document: &Document) -> impl Iterator<Item = &Step> {
    let dependents = document.dependents();
    let steps = document.steps.iter();
    steps.filter(move |step| !dependents.contains_key(&step.name))
}

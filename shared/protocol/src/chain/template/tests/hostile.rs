//! Templates that are rejected, and templates that are stopped.

use std::time::Instant;

use serde_json::json;

use super::{
    super::{environment, uses},
    scope,
};

#[test]
fn what_no_template_may_hold_is_refused() {
    for (template, words) in [
        (
            "{{ steps }}",
            "`steps`: expected `steps.` and the name of a step",
        ),
        (
            "{% for s in steps %}{% endfor %}",
            "`steps`: expected `steps.` and the name of a step",
        ),
        (
            "{{ steps[item].output }}",
            "`steps[item].output`: expected the name of a step behind `steps`, as it is written",
        ),
        (
            "{{ name }}",
            "`name`: expected steps, item, index, gathered or chain, or in a recipe job, parameters, round or last",
        ),
        (
            "{{ one }}{% for one in gathered %}{% endfor %}",
            "`one`: expected steps, item, index, gathered or chain, or in a recipe job, parameters, round or last",
        ),
        ("{% set a = 1 %}", "`set a = 1`: expected for, if or raw"),
        (
            "{% with a = 1 %}{% endwith %}",
            "`with a = 1 %}{% endwith`: expected for, if or raw",
        ),
        (
            "{{ range(9) }}",
            "`range(9)`: there are no functions: expected a filter, such as `| length`",
        ),
        (
            "{{ item.pop() }}",
            "`item.pop()`: there are no functions: expected a filter, such as `| length`",
        ),
        (
            "{{ item | indent(9) }}",
            "`indent(9)`: there is no filter `indent`",
        ),
        (
            "{{ item is callable }}",
            "`callable`: there is no test `callable`",
        ),
        (
            "{{ \"x\" * 9 }}",
            "`\"x\" * 9`: expected numbers on both sides of `*`: say `| float` behind what is not one in writing",
        ),
        (
            "{{ item",
            "not a template: unexpected end of input, expected end of variable block",
        ),
        (
            "a\n{% include 'x' %}",
            "line 2: not a template: unknown statement include",
        ),
        (
            "a\n\n{{ x }}",
            "line 3: `x`: expected steps, item, index, gathered or chain, or in a recipe job, parameters, round or last",
        ),
    ] {
        assert_eq!(uses(template).unwrap_err().join("; "), words, "{template}");
        assert_eq!(scope("").render(template).unwrap_err().to_string(), words);
    }
    let joined = format!("{{{{ {} }}}}", vec!["item"; 66].join(" ~ "));
    assert_eq!(
        uses(&joined).unwrap_err().join("; "),
        "expected at most 64 times `~` or `+`, but got 65"
    );
}

#[test]
fn hostile_templates_are_stopped() {
    let long = "x".repeat(100_000);
    let scope =
        scope(&json!({"long": long, "list": vec![0; 3000], "texts": vec![&long; 20]}).to_string());
    let begin = Instant::now();
    for (template, words) in [
        (
            "{% for a in steps.told.json.list %}{% for b in steps.told.json.list %}{% endfor %}{% endfor %}",
            "it takes more than 2000000 steps of the template engine",
        ),
        (
            "{% for a in steps.told.json.list %}{{ steps.told.output }}{% endfor %}",
            "its text is longer than 16777216 bytes",
        ),
        (
            "{{ steps.told.json.long | replace('x', steps.told.json.long) | length }}",
            "`replace('x', steps.told.json.long)`: makes a text of more than 16777216 bytes",
        ),
        (
            "{{ steps.told.json.list | join(steps.told.json.long) | length }}",
            "`join(steps.told.json.long)`: makes a text of more than 16777216 bytes",
        ),
        (
            "{{ steps.told.json.list | join(d=steps.told.json.long) | length }}",
            "`join(d=steps.told.json.long)`: makes a text of more than 16777216 bytes",
        ),
    ] {
        let error = scope.render(template).unwrap_err();
        assert_eq!(error.to_string(), words, "{template}");
    }
    let costly = [
        "steps.told.json.long | upper",
        "steps.told.json.long is upper",
        "steps.told.json.texts | sort",
        "steps.told.json.texts | map('upper') | list",
    ];
    for expression in costly {
        let template = format!(
            "{{% for a in steps.told.json.list %}}{{% if {expression} %}}{{% endif %}}{{% endfor %}}"
        );
        let error = scope.render(&template).unwrap_err().to_string();
        let words = "the filters and tests of this text read more than 256 MiB";
        assert!(error.ends_with(words), "{expression}: {error}");
    }
    for deep in [
        format!("{{{{ {}1{} }}}}", "(".repeat(5000), ")".repeat(5000)),
        format!("{{{{ {}1{} }}}}", "[".repeat(5000), "]".repeat(5000)),
        format!("{{{{ {}1 }}}}", "-".repeat(5000)),
        format!("{{{{ {}1 }}}}", "not ".repeat(5000)),
        format!("{{{{ {}1 }}}}", "1 - ".repeat(50_000)),
        format!("{{{{ item{} }}}}", ".a".repeat(50_000)),
        format!("{{{{ item{} }}}}", " | upper".repeat(50_000)),
        "{% if 1 %}".repeat(5000) + &"{% endif %}".repeat(5000),
        "{% for a in [1] %}".repeat(5000) + &"{% endfor %}".repeat(5000),
        "{% if 0 %}".to_owned() + &"{% elif 0 %}".repeat(5000) + "{% endif %}",
        format!(
            "{{{{ {}1{} }}}}",
            "1 if ".repeat(5000),
            " else 1".repeat(5000)
        ),
        format!("{{{{ item{} }}}}", "[0]".repeat(50_000)),
    ] {
        assert!(
            scope.render(&deep).is_err(),
            "{}",
            deep.chars().take(40).collect::<String>()
        );
    }
    assert!(begin.elapsed().as_secs() < 30, "{:?}", begin.elapsed());
}

#[test]
fn every_filter_and_test_of_the_list_is_there() {
    for filter in ["upper", "tojson", "sum", "default"] {
        assert!(environment::is_filter(filter), "{filter}");
    }
    for filter in [
        "indent",
        "batch",
        "slice",
        "format",
        "pprint",
        "center",
        "charged upper",
    ] {
        assert!(!environment::is_filter(filter), "{filter}");
        let by_name = format!("{{{{ ['a'] | map('{filter}') | list }}}}");
        assert!(scope("").render(&by_name).is_err(), "{filter}");
    }
}

"""Checks PromQL against docs/METRICS.md: each metric exists, and so does each label where it is used."""

import re
from pathlib import Path

import promql_parser

METRICS = Path(__file__).parents[2] / "docs/METRICS.md"
ROW = re.compile(r"^\| `(longshore_\w+)` \| (\w+) \| (.*?) \|", re.MULTILINE)

# What Prometheus adds to every series, and the metric that it writes itself.
TARGET = {"job", "instance"}


def catalogue():
    """The labels of each metric, by the names under which Prometheus stores it."""
    metrics = {"up": TARGET}
    for name, kind, labels in ROW.findall(METRICS.read_text()):
        own = TARGET | set(re.findall(r"`(\w+)`", labels))
        if kind == "histogram":
            metrics.update({f"{name}_bucket": own | {"le"}, f"{name}_sum": own, f"{name}_count": own})
        else:
            metrics[name] = own
    return metrics


CATALOGUE = catalogue()


def faults(text):
    """What is wrong with an expression."""
    found = []
    try:
        labels(promql_parser.parse(text), found)
    except ValueError as error:
        found.append(f"not PromQL: {error}")
    return found


def labels(node, found):
    """The labels that the result of an expression may have. Adds to `found` what does not exist."""
    match type(node).__name__:
        case "VectorSelector":
            return selector(node, found)
        case "MatrixSelector":
            return labels(node.vector_selector, found)
        case "AggregateExpr":
            inner = labels(node.expr, found)
            if node.modifier is None:
                return set()
            named = set(node.modifier.labels)
            if node.modifier.type == promql_parser.AggModifierType.By:
                unknown(named - inner, node, found)
                return named & inner
            return inner - named
        case "BinaryExpr":
            left, right = labels(node.lhs, found), labels(node.rhs, found)
            matching = node.modifier and node.modifier.matching
            if matching:
                unknown(set(matching.labels) - (left & right), node, found)
            return left | right if str(node.op) == "or" else left
        case "Call":
            return set().union(*(labels(argument, found) for argument in node.args))
        case "ParenExpr" | "UnaryExpr" | "SubqueryExpr":
            return labels(node.expr, found)
        case "NumberLiteral" | "StringLiteral":
            return set()
    raise TypeError(f"no rule knows {type(node).__name__}: add it to promql.py")


def selector(node, found):
    known = CATALOGUE.get(node.name)
    if known is None:
        found.append(f"{node.name}: docs/METRICS.md has no such metric")
        return TARGET
    unknown({matcher.name for matcher in node.matchers.matchers} - known, node, found)
    return known


def unknown(names, node, found):
    found += [f"{name}: not a label here: {node}" for name in sorted(names)]

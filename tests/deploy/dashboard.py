"""Checks the Grafana dashboard without Grafana."""

import json
import re

import promql_parser

import chart
import promql

FILE = chart.ROOT / "deploy/grafana/longshore.json"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}

# Variables that Grafana sets.
BUILT_IN = {"__rate_interval", "__range"}


def load():
    return json.loads(FILE.read_text())


def panels(document):
    return [panel for panel in document["panels"] if panel["type"] != "row"]


def expression(target, job, rate_interval="1m", period="1h"):
    """The query of a target, as Grafana sends it."""
    values = {"job": job, "__rate_interval": rate_interval, "__range": period}
    return re.sub(r"\$(\w+)", lambda variable: values[variable.group(1)], target["expr"])


def faults(document):
    """Every fault, as `title of the panel: what`."""
    variables = {variable["name"] for variable in document["templating"]["list"]} | BUILT_IN
    found = []
    for panel in panels(document):
        found += [f"{panel['title']}: {fault}" for fault in panel_faults(panel, variables)]
    return found + list(places(document["panels"]))


def panel_faults(panel, variables):
    for of in [panel, *panel["targets"]]:
        if of.get("datasource") != SOURCE:
            yield f"datasource: not the variable ${{datasource}}: {of.get('datasource')}"
    if not panel.get("description"):
        yield "no description"
    if not panel["fieldConfig"]["defaults"].get("unit"):
        yield "no unit"
    for target in panel["targets"]:
        yield from target_faults(target, variables)


def target_faults(target, variables):
    missing = set(re.findall(r"\$(\w+)", target["expr"])) - variables
    if missing:
        yield from (f"there is no variable ${name}" for name in sorted(missing))
        return
    query = expression(target, "longshore")
    yield from promql.faults(query)
    for selector in re.findall(r"\b(?:longshore_\w+|up)\b(\{[^}]*\})?", target["expr"]):
        if 'job="$job"' not in selector:
            yield f'query without job="$job": {target["expr"]}'
    if not list(promql.faults(query)):
        known = promql.labels(promql_parser.parse(query), [])
        for name in set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) - known:
            yield f"legend: {name} is not a label of {target['expr']}"


def places(all_panels):
    """Grafana moves panels that overlap."""
    taken = {}
    for panel in all_panels:
        at = panel["gridPos"]
        for cell in [(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])]:
            other = taken.setdefault(cell, panel["title"])
            if other != panel["title"] or cell[0] >= 24:
                yield f"{panel['title']}: overlaps {other}, or is outside of the 24 columns"
                break

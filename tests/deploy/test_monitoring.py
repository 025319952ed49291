"""The alerts and the dashboard: they use metrics that exist, and the alerts fire when they should."""

import copy
import json
import re
import shutil
import subprocess
import unittest

import yaml

import chart
import commands
import dashboard
import promql

ALERTS = chart.ROOT / "deploy/prometheus/alerts.yaml"
ALERT_TESTS = ALERTS.with_name("alerts.test.yaml")
OPERATIONS = chart.ROOT / "docs/OPERATIONS.md"
WHY_NO_PROMTOOL = None if shutil.which("promtool") else "promtool is not installed: apt-get install prometheus"


def alerts():
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


class Alerts(unittest.TestCase):
    def test_every_metric_and_label_exists(self):
        for alert in alerts():
            self.assertEqual(promql.faults(alert["expr"]), [], alert["alert"])

    def test_a_wrong_name_is_found(self):
        for text, fault in {
            "rate(longshore_attempt_total[5m]) > 0": "longshore_attempt_total: docs/METRICS.md has no such metric",
            "longshore_job_wait_seconds > 1": "longshore_job_wait_seconds: docs/METRICS.md has no such metric",
            'longshore_queue_depth{model="a"} > 0': "model: not a label here",
            "sum by (platfrom) (longshore_attempts_total)": "platfrom: not a label here",
            "sum by (queue) (sum by (outcome) (longshore_jobs_total))": "queue: not a label here",
            "up / on (queue) longshore_queue_depth": "queue: not a label here",
            "sum(": "not PromQL",
            "rate(longshore_queue_depth) > 0": "not PromQL",
        }.items():
            with self.subTest(expression=text):
                found = promql.faults(text)
                self.assertTrue(any(line.startswith(fault) for line in found), found)

    def test_every_alert_says_what_to_do(self):
        for alert in alerts():
            with self.subTest(alert=alert["alert"]):
                self.assertIn(alert["labels"]["severity"], ("critical", "warning"))
                self.assertEqual(alert["annotations"].keys(), {"summary", "description", "command", "runbook"})
                self.assertEqual(commands.faults(alert["annotations"]["command"]), [])

    def test_every_alert_has_a_section_in_the_runbook(self):
        runbook = OPERATIONS.read_text().split("\n## Runbook\n", 1)[1]
        sections = dict(re.findall(r"^### (\w+)\n(.*?)(?=^### |\Z)", runbook, re.DOTALL | re.MULTILINE))
        self.assertEqual(list(sections), [alert["alert"] for alert in alerts()])
        for alert in alerts():
            with self.subTest(alert=alert["alert"]):
                anchor = f"docs/OPERATIONS.md#{alert['alert'].lower()}"
                self.assertEqual(alert["annotations"]["runbook"], anchor)
                command = re.sub(r"\{\{.*?\}\}", "NAME", alert["annotations"]["command"])
                self.assertIn(f"`{command}`", sections[alert["alert"]])
                self.assertRegex(sections[alert["alert"]], r"(?s)\*\*Look\*\*.*\*\*Do\*\*")

    @unittest.skipIf(WHY_NO_PROMTOOL, WHY_NO_PROMTOOL)
    def test_promtool_accepts_them(self):
        done = promtool("check", "rules", ALERTS)
        self.assertEqual(done.returncode, 0, done.stderr)

    @unittest.skipIf(WHY_NO_PROMTOOL, WHY_NO_PROMTOOL)
    def test_they_fire_when_they_should(self):
        done = promtool("test", "rules", ALERT_TESTS)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_every_alert_is_tested_on_both_sides_of_its_threshold(self):
        cases = [case for test in yaml.safe_load(ALERT_TESTS.read_text())["tests"] for case in test["alert_rule_test"]]
        for alert in alerts():
            fires = {bool(case["exp_alerts"]) for case in cases if case["alertname"] == alert["alert"]}
            self.assertEqual(fires, {True, False}, alert["alert"])


class Dashboard(unittest.TestCase):
    def setUp(self):
        self.dashboard = dashboard.load()

    def test_it_has_no_fault(self):
        self.assertEqual(dashboard.faults(self.dashboard), [])

    def test_each_seeded_fault_is_found(self):
        for name, (change, fault) in {
            "data source of one Grafana": (
                lambda panel: panel["datasource"].__setitem__("uid", "P1809F7CD0C75ACF3"),
                "not the variable ${datasource}",
            ),
            "query with a data source of its own": (
                lambda panel: panel["targets"][0]["datasource"].__setitem__("uid", "prometheus"),
                "not the variable ${datasource}",
            ),
            "no unit": (lambda panel: panel["fieldConfig"]["defaults"].pop("unit"), "no unit"),
            "no description": (lambda panel: panel.__setitem__("description", ""), "no description"),
            "unknown metric": (set_expression("sum(longshore_job_total)"), "longshore_job_total: docs/METRICS.md has"),
            "unknown label": (set_expression("sum by (kind) (longshore_jobs_total)"), "kind: not a label here"),
            "query of all installations": (set_expression("sum(longshore_jobs_total)"), 'without job="$job"'),
            "unknown variable": (set_expression('up{job="$jobs"}'), "there is no variable $jobs"),
            "legend of a label that the query has not": (
                lambda panel: panel["targets"][0].__setitem__("legendFormat", "{{platform}}"),
                "legend: platform is not a label",
            ),
            "two panels at one place": (lambda panel: panel["gridPos"].update(x=8), "overlaps"),
        }.items():
            with self.subTest(fault=name):
                changed = copy.deepcopy(self.dashboard)
                change(dashboard.panels(changed)[0])
                faults = dashboard.faults(changed)
                self.assertTrue(any(fault in line for line in faults), f"not found: {fault}\nfound: {faults}")

    def test_it_shows_every_metric_but_a_few(self):
        """Whoever adds a metric decides whether the dashboard shows it."""
        shown = json.dumps(self.dashboard)
        missing = {name for name in promql.CATALOGUE if not re.search(rf"\b{name}\b", shown)}
        self.assertEqual(
            {re.sub(r"_(bucket|sum|count)$", "", name) for name in missing if not name.endswith(("_sum", "_count"))},
            {
                "longshore_config_reloads_total",
                "longshore_cron_ticks_skipped_total",
                "longshore_dead_letters_replayed_total",
                "longshore_gate_duration_seconds",
                "longshore_gates_total",
                "longshore_reviews_open",
                "longshore_reviews_oldest_age_seconds",
                "longshore_orphans_reclaimed_total",
                "longshore_tool_calls_total",
                "longshore_tool_duration_seconds",
            },
        )


def set_expression(text):
    return lambda panel: panel["targets"][0].__setitem__("expr", text)


def promtool(*arguments):
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)


if __name__ == "__main__":
    unittest.main()

"""What the documents of operators show: values render, messages are those of the chart, links lead somewhere."""

import re
import tempfile
import unittest

import yaml

import chart
import commands
import promql
import rules

KUBERNETES = chart.ROOT / "docs/KUBERNETES.md"
OPERATIONS = chart.ROOT / "docs/OPERATIONS.md"
UPGRADING = chart.ROOT / "docs/UPGRADING.md"
DOCUMENTS = [
    KUBERNETES,
    OPERATIONS,
    UPGRADING,
    promql.METRICS,
    chart.CHART / "README.md",
    chart.ROOT / "deploy/kubernetes/README.md",
]


class Links(unittest.TestCase):
    def test_every_link_leads_somewhere(self):
        for document in DOCUMENTS:
            links = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", document.read_text())
            self.assertTrue(links)
            for path, anchor in links:
                target = document.parent / path if path else document
                self.assertTrue(target.exists(), f"{document}: {path}")
                if anchor:
                    self.assertIn(anchor, anchors(target.read_text()), f"{document}: {path}")


class Queries(unittest.TestCase):
    def test_every_query_is_promql_with_metrics_that_exist(self):
        found = re.findall(r"\| `([^`]+)` \|$", promql.METRICS.read_text(), re.MULTILINE)
        self.assertTrue(found)
        for query in found:
            self.assertEqual(promql.faults(query), [], query)


class Commands(unittest.TestCase):
    def test_every_command_exists(self):
        """Those of docs/OPERATIONS.md need a stack in trouble, so no test runs them."""
        found = re.findall(r"`(longshore [^`]+)`|^(longshore .+)$", OPERATIONS.read_text(), re.MULTILINE)
        self.assertTrue(found)
        for command in map("".join, found):
            self.assertEqual(commands.faults(command), [])

    def test_a_command_that_does_not_exist_is_found(self):
        for command in ("longshore state", "longshore dlq list --by reason", "longshore failures --platfrom x"):
            self.assertTrue(commands.faults(command), command)


@unittest.skipIf(chart.WHY_NO_HELM, chart.WHY_NO_HELM)
class Documents(unittest.TestCase):
    def test_values_render(self):
        blocks = re.findall(r"^```yaml\n(.*?)^```", KUBERNETES.read_text(), re.DOTALL | re.MULTILINE)
        self.assertTrue(blocks)
        for text in blocks:
            with self.subTest(values=text), tempfile.NamedTemporaryFile("w") as file:
                file.write(text)
                file.flush()
                self.assertEqual(rules.faults(chart.render("minimal", "--values", file.name)), [])

    def test_defaults_are_those_of_the_chart(self):
        """Numbers that docs/KUBERNETES.md tells."""
        text = KUBERNETES.read_text()
        values = yaml.safe_load((chart.CHART / "values.yaml").read_text())
        self.assertIn(f"The default, {values['worker']['drainSeconds']}, outlasts", text)
        self.assertIn(f"port `http`, {values['health']['port']}:", text)
        self.assertIn(f"| `{values['migrations']['mode']}` (default) |", text)
        self.assertIn(f"user {values['security']['runAsUser']} without", text)
        self.assertIn(f"next look ({values['worker']['autoscaling']['keda']['pollingInterval']} s)", text)

    def test_the_faults_in_the_readme_are_those_of_the_chart(self):
        (block,) = re.findall(r"^```text\n(.*?)^```", (chart.CHART / "README.md").read_text(), re.DOTALL | re.MULTILINE)
        done = chart.template(
            "minimal",
            *("--set", "redis.url=redis://:hunter2@redis:6379"),
            *("--set", "worker.terminationGracePeriodSeconds=300"),
        )
        self.assertIn(block, done.stderr)


def anchors(text):
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


if __name__ == "__main__":
    unittest.main()

"""What the documents of deploy/ show: values render, messages are those of the chart, links lead somewhere."""

import re
import tempfile
import unittest

import yaml

import chart
import rules

KUBERNETES = chart.ROOT / "docs/KUBERNETES.md"
DOCUMENTS = [KUBERNETES, chart.CHART / "README.md", chart.ROOT / "deploy/kubernetes/README.md"]


class Links(unittest.TestCase):
    def test_every_link_leads_somewhere(self):
        for document in DOCUMENTS:
            links = re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text())
            self.assertTrue(links)
            for link in links:
                self.assertTrue((document.parent / link).exists(), f"{document}: {link}")


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


if __name__ == "__main__":
    unittest.main()

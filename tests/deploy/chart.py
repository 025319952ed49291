"""Renders the chart with helm, which `setup.sh` installs."""

import subprocess
from pathlib import Path

import yaml

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CHART = ROOT / "deploy/helm/longshore"
VALUES = {path.stem: path for path in sorted((CHART / "ci").glob("*.yaml"))}
HELMS = {version: HERE / f".tools/{version}/helm" for version in ("helm-3", "helm-4")}
WHY_NO_HELM = (
    None if all(map(Path.exists, HELMS.values())) else "there is no helm: setup.sh has it for Linux on x86-64 only"
)


def helm(*arguments, version="helm-4"):
    return subprocess.run([HELMS[version], *arguments], capture_output=True, text=True, check=False)


def template(values, *arguments, version="helm-4"):
    """Runs `helm template` with the values of `ci/`."""
    return helm("template", "longshore", CHART, "--values", VALUES[values], *arguments, version=version)


def render(values, *arguments, version="helm-4"):
    """The objects that the chart renders."""
    done = template(values, *arguments, version=version)
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    return [document for document in yaml.safe_load_all(done.stdout) if document]

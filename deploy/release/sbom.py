"""Prints a CycloneDX document of the crates that the programs contain, from Cargo.lock and the manifests.

    deploy/release/sbom.py --target x86_64-unknown-linux-gnu --features longshore-worker/jemalloc longshore-worker …

Crates that only run during the build (build scripts, procedural macros) or in tests are left out: they are not in the
programs. `SOURCE_DATE_EPOCH` is the time of the document.
"""

import argparse
import datetime
import json
import os
import subprocess
import tomllib
import uuid
from pathlib import Path

ROOT = Path(__file__).parents[2]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--target", required=True)
    parser.add_argument("--features", required=True)
    parser.add_argument("programs", nargs="+")
    arguments = parser.parse_args()
    document = sbom(arguments.programs, arguments.target, arguments.features, int(os.environ["SOURCE_DATE_EPOCH"]))
    print(json.dumps(document, indent=2))


def sbom(programs, target, features, epoch):
    names = contained(programs, target, features)
    metadata = json.loads(
        cargo("metadata", "--format-version=1", f"--filter-platform={target}", f"--features={features}")
    )
    crates = {p["id"]: p for p in metadata["packages"] if (p["name"], p["version"]) in names}
    if len(crates) != len(names):
        raise SystemExit("sbom.py: two crates have the same name and version, from different sources")
    checksums = locked_checksums()
    version = crates_version(crates, programs[0])
    components = [component(crate, crate["name"] in programs, checksums) for crate in crates.values()]
    edges = [
        {"ref": purl(crates[node["id"]]), "dependsOn": sorted(purl(crates[i]) for i in linked(node) if i in crates)}
        for node in metadata["resolve"]["nodes"]
        if node["id"] in crates
    ]
    root = f"longshore-{version}-{target}"
    edges.append({"ref": root, "dependsOn": sorted(purl(c) for c in crates.values() if c["name"] in programs)})
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": datetime.datetime.fromtimestamp(epoch, datetime.UTC).isoformat(),
            "component": {
                "type": "application",
                "bom-ref": root,
                "name": "longshore",
                "version": version,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
                "properties": [{"name": "longshore:target", "value": target}],
            },
        },
        "components": sorted(components, key=lambda c: c["bom-ref"]),
        "dependencies": sorted(edges, key=lambda e: e["ref"]),
    }
    # The same contents have the same serial number.
    document["serialNumber"] = uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(document)).urn
    return document


def contained(programs, target, features):
    """The names and versions of the crates that are linked into the programs."""
    packages = [argument for program in programs for argument in ("--package", program)]
    lines = cargo(
        *("tree", "--edges=normal,no-proc-macro", "--prefix=none", "--format={p}", f"--target={target}"),
        *(f"--features={features}", *packages),
    )
    # `serde v1.0.0`, `longshore-worker v0.1.0 (/src/worker) (*)`
    found = {tuple(line.split()[:2]) for line in lines.splitlines() if line}
    return {(name, version.removeprefix("v")) for name, version in found}


def linked(node):
    """The ids of the crates that a crate is linked with, not those that only build or test it."""
    return [dep["pkg"] for dep in node["deps"] if any(kind["kind"] is None for kind in dep["dep_kinds"])]


def component(crate, is_program, checksums):
    found = {
        "type": "application" if is_program else "library",
        "bom-ref": purl(crate),
        "name": crate["name"],
        "version": crate["version"],
        "purl": purl(crate),
        # Old manifests separate alternatives by a slash.
        "licenses": [{"expression": crate["license"].replace(" / ", " OR ").replace("/", " OR ")}],
    }
    checksum = checksums.get((crate["name"], crate["version"]))
    if checksum:
        found["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return found


def purl(crate):
    return f"pkg:cargo/{crate['name']}@{crate['version'].replace('+', '%2B')}"


def crates_version(crates, name):
    (version,) = [crate["version"] for crate in crates.values() if crate["name"] == name]
    return version


def locked_checksums():
    """The checksums of what crates.io has; crates of the workspace have none."""
    packages = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    return {(p["name"], p["version"]): p["checksum"] for p in packages if "checksum" in p}


def cargo(*arguments):
    return subprocess.run(
        ["cargo", *arguments, "--locked"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


if __name__ == "__main__":
    main()

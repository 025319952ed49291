"""The archive of a release, made of small programs in place of the real ones, and its systemd units."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import unittest
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from license_expression import get_spdx_licensing

import chart

ROOT = chart.ROOT
BUILD = ROOT / "deploy/release/build.sh"
UNITS = sorted((ROOT / "deploy/systemd").glob("*.service"))
VERSION = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE).group(1)
PROGRAMS = ["longshore", "longshore-worker", "longshore-scheduler", "longshore-simulator"]
EPOCH = 1_700_000_000

# What `systemd-analyze security` may say at most of a unit, in tenths: 100 is a service without any protection.
EXPOSURE = 15

STAND_IN = r"""
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "--version") && !strcmp(NAME, "longshore-simulator")) return 2;
    if (argc > 1 && !strcmp(argv[1], "--version")) printf(NAME " " VERSION " (stand-in)\n");
    if (argc > 2 && !strcmp(argv[1], "completions"))
        printf(strcmp(argv[2], "--help") ? "completions of %s\n" : "<SHELL> [possible values: " SHELLS "]\n", argv[2]);
    if (argc > 2 && !strcmp(argv[1], "man")) {
        char path[4096];
        mkdir(argv[2], 0700);
        snprintf(path, sizeof path, "%s/longshore.1", argv[2]);
        FILE *page = fopen(path, "w");
        if (!page) return 1;
        fputs(".TH longshore 1\n", page);
        fclose(page);
    }
    return 0;
}
"""


def compile_program(folder, name, *options, version=VERSION, shells="bash, elvish, fish, powershell, zsh"):
    definitions = [f'-D{key}="{value}"' for key, value in (("NAME", name), ("VERSION", version), ("SHELLS", shells))]
    command = ["cc", *(options or ["-g"]), *definitions, "-xc", "-", "-o", folder / name]
    subprocess.run(command, input=STAND_IN, check=True, text=True)


def build(programs, output, epoch=EPOCH, umask=0o022):
    return subprocess.run(
        [BUILD, programs, output],
        env={**os.environ, "SOURCE_DATE_EPOCH": str(epoch), "CARGO_NET_OFFLINE": "true"},
        umask=umask,
        capture_output=True,
        text=True,
        check=False,
    )


def why_no_archive():
    missing = [tool for tool in ("cc", "objcopy", "cargo", "sha256sum") if not shutil.which(tool)]
    if missing:
        return f"not installed: {', '.join(missing)}"
    if run(["cargo", "metadata", "--offline", "--locked", "--format-version=1"], cwd=ROOT).returncode != 0:
        return "the crates are not downloaded: make build"
    return None


class Archive(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        reason = why_no_archive()
        if reason:
            raise unittest.SkipTest(reason)
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        cls.programs = cls.folder / "programs"
        cls.programs.mkdir()
        for name in PROGRAMS:
            compile_program(cls.programs, name)
        cls.output = cls.folder / "output"
        done = build(cls.programs, cls.output)
        if done.returncode != 0:
            raise AssertionError(done.stderr)
        (sbom,) = cls.output.glob("*.cdx.json")
        cls.name = sbom.name.removesuffix(".cdx.json")
        cls.sbom = sbom.read_text()

    def members(self, suffix=""):
        """The files of an archive, without its one folder."""
        with tarfile.open(self.output / f"{self.name}{suffix}.tar.gz") as archive:
            return {
                member.name.removeprefix(f"{self.name}{suffix}/"): archive.extractfile(member).read()
                for member in archive
                if member.isfile()
            }

    def refused(self, programs):
        """What the script says, and that it leaves nothing."""
        output = self.folder / "refused"
        done = build(programs, output)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertEqual(list(output.iterdir()), [])
        return done.stderr

    def changed(self, name, *options, **changes):
        """The programs, one of them compiled in another way."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        for program in PROGRAMS:
            shutil.copy(self.programs / program, folder)
        compile_program(folder, name, *options, **changes)
        return folder

    def test_the_names_say_version_and_target(self):
        self.assertRegex(self.name, rf"^longshore-{re.escape(VERSION)}-[a-z0-9_]+-unknown-linux-gnu$")
        expected = ["SHA256SUMS", f"{self.name}-debug.tar.gz", f"{self.name}.cdx.json", f"{self.name}.tar.gz"]
        self.assertEqual(sorted(path.name for path in self.output.iterdir()), expected)

    def test_contents(self):
        members = self.members()
        expected = {f"bin/{name}" for name in PROGRAMS}
        expected |= {f"lib/systemd/system/{unit.name}" for unit in UNITS}
        expected |= {"INSTALL.md", "LICENSE", "README.md", "CHANGELOG.md", "docs/UPGRADING.md"}
        expected |= {"deploy/examples/longshore.yaml", "share/man/man1/longshore.1"}
        self.assertEqual(expected - set(members), set())
        for file, shell in {
            "share/bash-completion/completions/longshore": "bash",
            "share/elvish/lib/longshore.elv": "elvish",
            "share/fish/vendor_completions.d/longshore.fish": "fish",
            "share/powershell/longshore.ps1": "powershell",
            "share/zsh/site-functions/_longshore": "zsh",
        }.items():
            self.assertEqual(members[file], f"completions of {shell}\n".encode())

    def test_a_shell_that_the_script_does_not_know_is_named(self):
        programs = self.changed("longshore", "-g", shells="bash, nushell")
        self.assertIn("knows the shell nushell, but", self.refused(programs))

    def test_links_of_the_install_page_lead_into_the_archive(self):
        members = self.members()
        links = re.findall(r"\]\((?!https?:)([^)#]+)", members["INSTALL.md"].decode())
        self.assertTrue(links)
        self.assertEqual([link for link in links if link not in members], [])

    def test_programs_are_stripped_and_name_their_debug_information(self):
        members, debug = self.members(), self.members("-debug")
        self.assertEqual(sorted(debug), sorted(f"{name}.debug" for name in PROGRAMS))
        for name in PROGRAMS:
            original = self.sections((self.programs / name).read_bytes())
            self.assertIn(".debug_info", original)
            self.assertIn(".debug_info", self.sections(debug[f"{name}.debug"]))
            stripped = self.sections(members[f"bin/{name}"])
            self.assertNotIn(".debug_info", stripped)
            self.assertNotIn(".symtab", stripped)
            link = self.folder / "stripped"
            link.write_bytes(members[f"bin/{name}"])
            shown = run(["readelf", "--string-dump=.gnu_debuglink", link]).stdout
            self.assertIn(f"{name}.debug", shown)

    def sections(self, program):
        path = self.folder / "sections"
        path.write_bytes(program)
        return run(["readelf", "--section-headers", "--wide", path]).stdout

    def test_checksums(self):
        def check():
            return run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=self.output)

        self.assertEqual(check().stdout.count(": OK\n"), 3)
        path = self.output / f"{self.name}.tar.gz"
        content = path.read_bytes()
        self.addCleanup(path.write_bytes, content)
        path.write_bytes(content[:-1] + b"x")
        self.assertIn(f"{self.name}.tar.gz: FAILED", check().stdout)

    def test_the_same_programs_give_the_same_bytes(self):
        first = self.bytes_of(self.output)
        again = self.folder / "again"
        build(self.programs, again, umask=0o077)
        self.assertEqual(self.bytes_of(again), first)
        later = self.folder / "later"
        build(self.programs, later, epoch=EPOCH + 1)
        different = {name for name, digest in self.bytes_of(later).items() if digest != first[name]}
        self.assertEqual(different, set(first), "the comparison sees no difference")

    def bytes_of(self, folder):
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}

    def test_members_have_no_trace_of_the_machine(self):
        for suffix in ("", "-debug"):
            with tarfile.open(self.output / f"{self.name}{suffix}.tar.gz") as archive:
                members = archive.getmembers()
            self.assertEqual([m.name for m in members], sorted(m.name for m in members))
            self.assertEqual({(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in members}, {(0, 0, "", "", EPOCH)})
            for member in members:
                executable = member.isdir() or "/bin/" in member.name
                self.assertEqual(oct(member.mode), oct(0o755 if executable else 0o644), member.name)

    def test_a_program_that_is_too_large_is_named(self):
        programs = self.changed("longshore-worker")
        padding = self.folder / "padding"
        with padding.open("wb") as file:
            file.truncate(30_000_000)
        subprocess.run(["objcopy", f"--add-section=.padding={padding}", programs / "longshore-worker"], check=True)
        message = self.refused(programs)
        self.assertIn("larger than 30000000 bytes, even without debug information: longshore-worker\n", message)

    def test_programs_that_make_dist_did_not_build_are_named(self):
        self.assertIn(
            "longshore-scheduler has no debug information; build it with `make dist`",
            self.refused(self.changed("longshore-scheduler", "-g0")),
        )
        self.assertIn(
            f"is `longshore-worker 9.9.9 (stand-in)`, but Cargo.toml says {VERSION}",
            self.refused(self.changed("longshore-worker", "-g", version="9.9.9")),
        )
        broken = self.changed("longshore")
        (broken / "longshore-scheduler").write_bytes(b"\x7fELF for another machine")
        self.assertIn("longshore-scheduler does not run here", self.refused(broken))
        programs = self.changed("longshore")
        (programs / "longshore-simulator").unlink()
        self.assertIn("longshore-simulator does not exist", self.refused(programs))

    def test_the_script_builds_what_the_makefile_builds(self):
        makefile, script = (ROOT / "Makefile").read_text(), BUILD.read_text()
        packages = re.search(r"^PROGRAMS := (.*)$", makefile, re.MULTILINE).group(1)
        self.assertIn(f"programs=({packages.replace('-p ', '')})", script)
        features = re.search(r"--profile dist \$\(PROGRAMS\) --features (\S+)", makefile).group(1)
        self.assertIn(f"features={features}\n", script)

    def test_the_sbom_is_valid(self):
        self.assertEqual(sbom_faults(self.sbom), [])

    def test_faults_of_an_sbom_are_found(self):
        for change, fault in {
            ('"type": "library"', '"type": "crate"'): "'crate' is not one of",
            ('"bomFormat": "CycloneDX"', '"bomFormat": "SPDX"'): "'SPDX' is not one of",
            ('"MIT"', '"MIT-9"'): "MIT-9",
            ('"bom-ref": "pkg:cargo/redis@', '"bom-ref": "pkg:cargo/sider@'): "depends on nothing that is listed",
        }.items():
            with self.subTest(change=change):
                text = self.sbom.replace(*change, 1)
                self.assertNotEqual(text, self.sbom)
                self.assertIn(fault, "\n".join(sbom_faults(text)))

    def test_the_sbom_has_what_is_in_the_programs(self):
        components = json.loads(self.sbom)["components"]
        versions = {component["name"]: component["version"] for component in components}
        workspace = run(["cargo", "metadata", "--offline", "--no-deps", "--format-version=1"], cwd=ROOT).stdout
        own = {package["name"] for package in json.loads(workspace)["packages"]}
        # The tests and the client library for Rust programs are in no program unless one of them uses it.
        self.assertEqual({name: versions[name] for name in PROGRAMS}, dict.fromkeys(PROGRAMS, VERSION))
        self.assertNotIn("longshore-tests", versions)
        self.assertGreater(len(own & set(versions)), 10)
        for name in ("redis", "sqlx-postgres", "rustls", "tikv-jemalloc-sys"):
            self.assertIn(name, versions)
        for name, why in {"proptest": "tests", "serde_derive": "procedural macros", "cc": "build scripts"}.items():
            self.assertNotIn(name, versions, f"only {why} use it")
        with_checksum = [component for component in components if "hashes" in component]
        self.assertEqual(len(components) - len(with_checksum), len(own & set(versions)))


def sbom_faults(text):
    """What is wrong with a CycloneDX document: its form, its licences, and references that lead nowhere."""
    found = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    faults = [str(found)] if found else []
    document = json.loads(text)
    licensing = get_spdx_licensing()
    refs = {component["bom-ref"] for component in document["components"]}
    for component in document["components"]:
        for choice in component["licenses"]:
            faults += licensing.validate(choice["expression"], strict=True).errors
    for edge in document["dependencies"]:
        faults += [f"{edge['ref']} depends on nothing that is listed: {r}" for r in edge["dependsOn"] if r not in refs]
    return faults


@unittest.skipUnless(shutil.which("systemd-analyze"), "systemd-analyze is not installed")
class Units(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        for name in PROGRAMS:
            (self.folder / name).touch(mode=0o755)

    def place(self, unit, text=None):
        """A copy of a unit whose program exists."""
        path = self.folder / unit.name.replace("@.", "@1.")
        path.write_text((text or unit.read_text()).replace("/usr/local/bin", str(self.folder)))
        return path

    def faults(self, unit, text=None):
        path = self.place(unit, text)
        verify = run(["systemd-analyze", "verify", "--man=no", path])
        exposure = run(["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE}", path])
        too_high = exposure.stdout.splitlines()[-1] if exposure.returncode else ""
        # `verify` also reports units of the machine.
        lines = (verify.stdout + verify.stderr).splitlines()
        return "\n".join([*(line for line in lines if unit.stem.split("@")[0] in line), too_high]).strip()

    def test_systemd_has_nothing_to_say(self):
        self.assertEqual(len(UNITS), 3)
        for unit in UNITS:
            with self.subTest(unit=unit.name):
                self.assertEqual(self.faults(unit), "")

    def test_faults_are_found(self):
        for unit in UNITS:
            text = unit.read_text()
            for change, fault in {
                ("NoNewPrivileges", "NoNewPriviliges"): "'NoNewPriviliges' in section [Service]",
                ("Type=", "Type=fast-"): "ignoring: fast-",
                ("bin/longshore", "bin/longshoreman"): "is not executable",
                ("SystemCallFilter=@system-service", ""): "exposure level",
                ("CapabilityBoundingSet=\n", ""): "exposure level",
            }.items():
                with self.subTest(unit=unit.name, change=change):
                    self.assertIn(change[0], text)
                    self.assertIn(fault, self.faults(unit, text.replace(*change)))

    def test_all_units_are_hardened_alike(self):
        sandboxes = {unit.read_text().partition("\nUser=longshore\n")[2].partition("\n[Install]")[0] for unit in UNITS}
        self.assertEqual(len(sandboxes), 1)
        self.assertIn("MemoryDenyWriteExecute=yes", sandboxes.pop())

    def test_workers_may_finish(self):
        worker = (ROOT / "deploy/systemd/longshore-worker@.service").read_text()
        documented = re.search(
            r"^\| systemd \| `(TimeoutStopSec=\d+)` \|", (ROOT / "docs/CONFIGURATION.md").read_text(), re.MULTILINE
        )
        self.assertIn(f"\n{documented.group(1)}\n", worker)
        self.assertIn("\nKillSignal=SIGTERM\nKillMode=mixed\n", worker)

    def test_drop_ins_of_the_install_page_are_accepted(self):
        page = (ROOT / "deploy/release/INSTALL.md").read_text()
        drop_ins = [text for text in re.findall(r"^```ini\n(.*?)^```", page, re.DOTALL | re.MULTILINE) if "[Serv" in text]
        self.assertEqual(len(drop_ins), 2)
        (unit,) = [unit for unit in UNITS if "worker" in unit.name]
        for text in drop_ins:
            path = self.place(unit)
            drop_in = self.folder / f"{path.name}.d/override.conf"
            drop_in.parent.mkdir(exist_ok=True)
            for content, fault in {text: "", text.replace("=", "_=", 1): "_' in section [Service]"}.items():
                drop_in.write_text(content)
                done = run(["systemd-analyze", "verify", "--man=no", path])
                own = [line for line in done.stderr.splitlines() if str(self.folder) in line]
                self.assertEqual(bool(own), bool(fault), own)
                self.assertIn(fault, "\n".join(own))


def run(command, **options):
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, **options)


if __name__ == "__main__":
    unittest.main()

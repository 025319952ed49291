"""The Dockerfile, the programs in a tree like that of the image, and compose.yaml, without a container engine."""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.request
from pathlib import Path

import yaml

import chart
import dockerfile
import rules

ROOT = chart.ROOT
TOOLS = chart.HERE / ".venv/bin"
DOCKERFILE = (ROOT / "Dockerfile").read_text()
IGNORE = (ROOT / ".dockerignore").read_text()
STAGES = dockerfile.stages(DOCKERFILE)
VERSION = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE).group(1)

# The user of the image.
NONROOT = "65532:65532"


class Dockerfile(unittest.TestCase):
    def test_hadolint_has_nothing_to_say(self):
        self.assertEqual(hadolint(DOCKERFILE), "")

    def test_hadolint_finds_a_fault(self):
        self.assertIn("DL3025", hadolint(DOCKERFILE + '\nCMD longshore "$@"\n'))

    def test_every_path_that_is_copied_exists(self):
        self.assertEqual(list(dockerfile.faults(ROOT, DOCKERFILE, IGNORE)), [])

    def test_a_path_that_does_not_exist_is_found(self):
        for text, fault in {
            "COPY LICENCE /": "longshore: COPY LICENCE: not in the context of the build",
            "COPY README.md /": "longshore: COPY README.md: not in the context of the build",
            "COPY --from=builder /x /x": "longshore: COPY --from=builder: there is no such stage",
            "COPY --from=build /src/target/dist/longshore-api /": "longshore: COPY longshore-api: not built by",
        }.items():
            with self.subTest(text=text):
                found = list(dockerfile.faults(ROOT, f"{DOCKERFILE}\n{text}\n", IGNORE))
                self.assertTrue(any(line.startswith(fault) for line in found), found)

    def test_cargo_understands_the_context(self):
        """A manifest that is missing, or a file that it names, would stop the build after minutes."""
        cargo = shutil.which("cargo")
        if not cargo:
            self.skipTest("cargo is not installed")
        with tempfile.TemporaryDirectory() as folder:
            for path in dockerfile.context(ROOT, IGNORE):
                target = Path(folder) / path.relative_to(ROOT)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
            done = run([cargo, "metadata", "--no-deps", "--offline", "--format-version=1"], cwd=folder)
            self.assertEqual(done.returncode, 0, done.stderr)

    def test_the_last_stage_is_the_image(self):
        self.assertEqual(list(STAGES)[-1], "longshore")
        for name in ("longshore", "simulator"):
            stage = STAGES[name]
            entrypoint = stage.last("ENTRYPOINT")
            self.assertIsInstance(entrypoint, list, "without the exec form, a shell gets the signals")
            self.assertIn(entrypoint[0], [target for _stage, _sources, target in stage.copies()])
            users = [stage.last("USER") for stage in dockerfile.lineage(STAGES, name)]
            self.assertIn(NONROOT, users, "the kubelet only knows numbers not to be root")
            self.assertIn(f'version="{VERSION}"', stage.last("LABEL"))

    def test_versions_are_those_of_the_workspace(self):
        toolchain = re.search(r'channel = "(.*)"', (ROOT / "rust-toolchain.toml").read_text()).group(1)
        self.assertEqual(STAGES["chef"].base, f"rust:{toolchain}-bookworm")
        self.assertIn(("ENV", f"RUSTUP_TOOLCHAIN={toolchain}"), STAGES["chef"].instructions)
        self.assertEqual(yaml.safe_load((chart.CHART / "Chart.yaml").read_text())["appVersion"], VERSION)


class Compose(unittest.TestCase):
    def setUp(self):
        self.services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]

    def test_compose_accepts_it(self):
        done = compose((ROOT / "compose.yaml").read_text())
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_compose_refuses_a_typo_by_name(self):
        text = (ROOT / "compose.yaml").read_text().replace("read_only:", "read_onyl:")
        self.assertIn("read_onyl", compose(text).stderr)

    def test_every_image_and_program_exists(self):
        for name, service in self.services.items():
            if "build" not in service:
                self.assertRegex(service["image"], r":v?\d", f"{name}: no fixed version")
                continue
            stage = STAGES[service["build"]["target"]]
            programs = [Path(target).name for _stage, _sources, target in stage.copies()]
            for program in service.get("entrypoint", []):
                self.assertIn(program, programs, name)

    def test_every_file_that_is_mounted_exists(self):
        mounts = [(name, mount) for name, service in self.services.items() for mount in service.get("volumes", [])]
        files = [(name, mount.split(":")[0]) for name, mount in mounts if mount.startswith(".")]
        self.assertTrue(files)
        for name, path in files:
            # Docker would create a folder, and mounts a link as what it leads to.
            self.assertTrue((ROOT / path).exists() and not (ROOT / path).is_symlink(), f"{name}: {path}")

    def test_prometheus_scrapes_services_that_exist(self):
        config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yaml").read_text())
        (scrape,) = config["scrape_configs"]
        (discovery,) = scrape["dns_sd_configs"]
        for name in discovery["names"]:
            listen = self.services[name]["environment"]["LONGSHORE_LISTEN"]
            self.assertEqual(listen, f"0.0.0.0:{discovery['port']}", name)
        source = ROOT / "deploy/grafana/provisioning/datasources/prometheus.yaml"
        (source,) = yaml.safe_load(source.read_text())["datasources"]
        self.assertIn(re.fullmatch(r"http://(\w+):9090", source["url"]).group(1), self.services)

    def test_promtool_accepts_the_configuration(self):
        if not shutil.which("promtool"):
            self.skipTest("promtool is not installed: apt-get install prometheus")
        done = run(["promtool", "check", "config", ROOT / "deploy/prometheus/prometheus.yaml"])
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_every_variable_is_read(self):
        for name, service in self.services.items():
            if service.get("image") == "longshore":
                env = [{"name": variable} for variable in service["environment"]]
                self.assertEqual(list(rules.environment(env)), [], name)

    def test_workers_may_finish(self):
        seconds = int(self.services["worker"]["stop_grace_period"].removesuffix("s"))
        default = re.search(r"^\| `grace` .* \| (\d+)s \|", rules.DOCUMENTATION.read_text(), re.MULTILINE).group(1)
        self.assertGreater(seconds, int(default))
        self.assertEqual(self.services["worker"]["deploy"]["replicas"], 2)


class Tree(unittest.TestCase):
    """The programs run in a tree like the image's: as its user, on a read-only root, with nothing else there."""

    @classmethod
    def setUpClass(cls):
        build = ROOT / "target/debug"
        cls.programs = {
            target: build / Path(source).name
            for _stage, sources, target in STAGES["longshore"].copies()
            for source in sources
        }
        if not all(path.exists() for path in cls.programs.values()):
            raise unittest.SkipTest("the programs are not built: make build")
        cls.become_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
        if run([*cls.become_root, "unshare", "--mount", "true"]).returncode != 0:
            raise unittest.SkipTest("this machine allows neither root nor `sudo -n unshare --mount`")
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.tree = Path(cls.folder.name)
        cls.tree.chmod(0o755)
        for target, source in cls.programs.items():
            cls.install(source, target)
            # What distroless/cc has: the C library and libgcc.
            for library in re.findall(r"(/\S+) \(0x", run(["ldd", source]).stdout):
                cls.install(library, library)
        for folder in ("etc/longshore", "proc", "tmp"):
            (cls.tree / folder).mkdir(parents=True)

    @classmethod
    def install(cls, source, target):
        path = cls.tree / target.lstrip("/")
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, path)

    def command(self, *arguments, env=()):
        """Runs a command in the tree, with no rights to change anything."""
        script = (
            'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && cd "$0" && '
            f'exec chroot --userspec={NONROOT} --groups= "$0" "$@"'
        )
        return [*self.become_root, "env", *env, "unshare", "--mount", "sh", "-c", script, self.tree, *arguments]

    def test_every_program_starts(self):
        for program in self.programs:
            with self.subTest(program=program):
                done = run(self.command(program, "--version"))
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                self.assertIn(VERSION, done.stdout)

    def test_the_root_is_read_only(self):
        done = run(self.command("/usr/local/bin/longshore", "man", "/tmp/man"))
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("Read-only file system", done.stderr, "the tree is not what it claims to be")

    def test_services_answer_probes_and_stop(self):
        for service in sorted(rules.SERVICES):
            with self.subTest(service=service), self.start(service) as (process, url):
                self.assertEqual(get(f"{url}/live"), (200, "ok\n"))
                status, body = get(f"{url}/ready")
                self.assertEqual(status, 503, f"Redis is not there, and yet: {body}")
                self.assertEqual(get(f"{url}/metrics")[0], 200)
                self.assertEqual(self.terminate(process), 0)

    @contextlib.contextmanager
    def start(self, service):
        """A service without Redis and Postgres, and the address of its health endpoint, which its log has."""
        env = [
            "LONGSHORE_REDIS_URL=redis://127.0.0.1:1",
            "LONGSHORE_DATABASE_URL=postgres://longshore@127.0.0.1:1/longshore",
            "LONGSHORE_LISTEN=127.0.0.1:0",
        ]
        command = self.command(f"/usr/local/bin/longshore-{service}", env=env)
        with tempfile.TemporaryFile("w+") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
            try:
                yield process, f"http://{self.address(process, log)}"
            finally:
                self.terminate(process)

    def terminate(self, process):
        """Sends SIGTERM, which `sudo` passes on, and returns the exit code."""
        if process.poll() is None:
            run([*self.become_root, "kill", "-TERM", str(process.pid)])
        return process.wait(timeout=10)

    def address(self, process, log):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and process.poll() is None:
            log.seek(0)
            found = re.search(r'"address":"([^"]+)"', log.read())
            if found:
                return found.group(1)
            time.sleep(0.05)
        log.seek(0)
        raise AssertionError(f"no health endpoint: {log.read()}")


def hadolint(text):
    done = run([TOOLS / "hadolint", "-"], input=text)
    return done.stdout + done.stderr


def compose(text):
    return run([TOOLS / "docker-compose", "--project-directory", ROOT, "--file", "-", "config", "--quiet"], input=text)


def run(command, **options):
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


if __name__ == "__main__":
    unittest.main()

"""A real Prometheus scrapes a real Longshore under load: every query of the dashboard has a result, every alert works.

`longshore dev` runs as its users have it, with the simulator. The load makes every kind of trouble that a query shows,
except for what only a broken Postgres or a dead worker brings.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.parse
import urllib.request
from pathlib import Path

import chart
import dashboard
import test_monitoring

PROGRAMS = chart.ROOT / "target/debug"
# Downloaded servers stay here; everything else is deleted before a run.
DATA = chart.HERE / ".tools/live"

CONFIGURATION = """
circuit: {min_calls: 3, cooldown: 1m}
providers:
  deepseek:
    limits: {requests_per_day: 5, max_concurrent: 10}
cron:
  - {name: each-second, every: 1s, job: {prompt: "What is new?", type: research}}
"""

PROMETHEUS = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{alerts}]
scrape_configs:
  - job_name: longshore
    static_configs: [{{targets: [{targets}]}}]
"""

CHAIN = json.dumps({"steps": [{"name": "ask", "type": "research", "prompt": "Name a colour."}]})

# What each round enqueues: the number of jobs, and their fields.
LOAD = [
    (5, {"prompt": "Name a colour.", "type": "research"}),
    # A dead letter.
    (2, {"prompt": "[[status=400]] Name a colour.", "platform": "gemini", "fallback": "false"}),
    # Opens a circuit.
    (5, {"prompt": "[[status=503]] Name a colour.", "platform": "xai", "fallback": "false"}),
    # Holds an account.
    (1, {"prompt": "[[fail_first=1:429]] [[retry_after=5]] {round}", "platform": "anthropic", "fallback": "false"}),
    # More than the limit of the day: the rest waits.
    (3, {"prompt": "Name a colour.", "platform": "deepseek", "fallback": "false"}),
    # The second is dropped.
    (2, {"prompt": "Name a colour.", "id": "round-{round}"}),
    (1, {"prompt": "Name a colour.", "delay": "3"}),
    (1, {"prompt": "[[latency=60000]] Name a colour."}),
    (1, {"chain": CHAIN}),
]
ROUNDS = 5

# Queries that only have other values than 0 when Postgres refuses events, Redis fails, or processes die.
ZERO = {"events refused", "Redis errors", "attempts lost", "settles fenced", "down", "lag", "not recorded yet"}
# What the load brings about. Alerts are pending as soon as their expression has a result.
PENDING = {"LongshoreCircuitOpen", "LongshoreJobsFail", "LongshoreLimitNearlyUsed"}
# What it brings about that Longshore stops.
PENDING_AT_THE_END = {"LongshoreTargetDown", "LongshoreNoLeader"}


def why_not():
    for program in ("longshore", "longshore-worker", "longshore-scheduler", "longshore-simulator"):
        if not (PROGRAMS / program).exists():
            return "the programs are not built: make build"
    if not (shutil.which("prometheus") and shutil.which("promtool")):
        return "prometheus is not installed: apt-get install prometheus"
    return None


@unittest.skipIf(why_not(), why_not())
class Live(unittest.TestCase):
    def test_every_query_and_alert_works(self):
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            longshore = stack.enter_context(Longshore(folder))
            prometheus = stack.enter_context(Prometheus(folder, longshore))
            longshore.load()
            before = self.without_result(prometheus, 12)
            # Now jobs stay in the queue. Those that wait for a limit may be released into it.
            longshore.pause()
            self.check_metrics(longshore)
            after = self.without_result(prometheus, 30)
            missing = {query: after[query] for query in before if query in after}
            self.assertEqual(missing, {}, "queries of the dashboard without a result, or with nothing but 0")
            self.check_that_an_empty_query_is_found(prometheus)
            self.wait_for(prometheus, PENDING)
            longshore.stop()
            self.wait_for(prometheus, PENDING_AT_THE_END)

    def without_result(self, prometheus, seconds):
        """The queries of the dashboard that have no result for so long; gauges are updated every 10 s."""
        document = dashboard.load()
        missing, deadline = prometheus.without_result(document), time.monotonic() + seconds
        while missing and time.monotonic() < deadline:
            time.sleep(1)
            still = prometheus.without_result(document)
            missing = {query: still[query] for query in missing if query in still}
        return missing

    def check_that_an_empty_query_is_found(self, prometheus):
        changed = dashboard.load()
        target = dashboard.panels(changed)[0]["targets"][0]
        target["expr"] = target["expr"].replace("$job", "other")
        self.assertEqual(prometheus.without_result(changed), {("Ended jobs", "{{outcome}}"): []})

    def check_metrics(self, longshore):
        for target in longshore.targets:
            with urllib.request.urlopen(f"http://{target}/metrics", timeout=5) as answer:
                text = answer.read()
            done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
            self.assertEqual((done.returncode, done.stdout + done.stderr), (0, b""), target)

    def wait_for(self, prometheus, names):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            rules = prometheus.rules()
            active = {rule["name"] for rule in rules if rule["state"] != "inactive"}
            if names <= active:
                break
            time.sleep(0.5)
        self.assertLessEqual(names, active)
        self.assertEqual({rule["name"] for rule in rules}, {alert["alert"] for alert in test_monitoring.alerts()})
        for rule in rules:
            self.assertEqual((rule["health"], rule.get("lastError", "")), ("ok", ""), rule["name"])


class Longshore:
    """`longshore dev` with the simulator."""

    def __init__(self, folder):
        (folder / "longshore.yaml").write_text(CONFIGURATION)
        DATA.mkdir(parents=True, exist_ok=True)
        for path in DATA.iterdir():
            if path.name != "tools":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        variables = {name: value for name, value in os.environ.items() if name in ("HOME", "PATH", "LANG", "TMPDIR")}
        command = [PROGRAMS / "longshore", "dev", "--simulator", "--dir", DATA]
        self.process = Process(folder / "longshore.log", command, cwd=folder, env=variables)

    def __enter__(self):
        try:
            text = self.process.wait_for(lambda: (DATA / "env").exists() and (DATA / "env").read_text(), 120)
        except BaseException:
            self.stop()
            raise
        self.variables = dict(re.findall(r"^(\w+)=(.*)", text, re.MULTILINE))
        self.addresses = {name: url.split("://")[1] for name, url in self.variables.items()}
        self.targets = [self.addresses["LONGSHORE_WORKER_URL"], self.addresses["LONGSHORE_SCHEDULER_URL"]]
        return self

    def __exit__(self, *_error):
        self.stop()

    def stop(self):
        self.process.stop(signal.SIGINT)

    def load(self):
        """Enqueues jobs as any client does. Counters need two scrapes with different values, so there are rounds."""
        for number in range(ROUNDS):
            self.enqueue(fields(job, number) for count, job in LOAD for _ in range(count))
            time.sleep(2)

    def pause(self):
        pause = [PROGRAMS / "longshore", "pause", "queue", "default"]
        subprocess.run(pause, env=self.variables, capture_output=True, check=True)
        self.enqueue([["prompt", "Name a colour."]] * 3)

    def enqueue(self, messages):
        host, port = self.addresses["LONGSHORE_REDIS_URL"].split(":")
        with socket.create_connection((host, int(port)), timeout=5) as redis, redis.makefile("rb") as replies:
            for words in messages:
                redis.sendall(encode(["XADD", "{longshore}:queue:default", "*", *words]))
                reply = replies.readline()
                if not reply.startswith(b"$"):
                    raise AssertionError(f"not enqueued: {reply}")
                replies.readline()


def fields(job, number):
    return [word.replace("{round}", str(number)) for pair in job.items() for word in pair]


def encode(words):
    """A command in the protocol of Redis."""
    parts = [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
    return f"*{len(words)}\r\n{''.join(parts)}".encode()


class Prometheus:
    def __init__(self, folder, longshore):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        targets = ", ".join(longshore.targets)
        (folder / "prometheus.yaml").write_text(PROMETHEUS.format(alerts=test_monitoring.ALERTS, targets=targets))
        self.process = Process(
            folder / "prometheus.log",
            [
                "prometheus",
                f"--config.file={folder}/prometheus.yaml",
                f"--storage.tsdb.path={folder}/prometheus",
                f"--web.listen-address={self.address}",
            ],
        )

    def __enter__(self):
        try:
            self.process.wait_for(self.is_ready, 30)
        except BaseException:
            self.process.stop(signal.SIGTERM)
            raise
        return self

    def __exit__(self, *_error):
        self.process.stop(signal.SIGTERM)

    def is_ready(self):
        try:
            return self.query("up")
        except OSError:
            return False

    def get(self, path):
        with urllib.request.urlopen(f"http://{self.address}/api/v1/{path}", timeout=10) as answer:
            return json.load(answer)["data"]

    def query(self, expression):
        """The values of an instant query."""
        result = self.get("query?" + urllib.parse.urlencode({"query": expression}))["result"]
        return [float(series["value"][1]) for series in result]

    def rules(self):
        return [rule for group in self.get("rules")["groups"] for rule in group["rules"]]

    def without_result(self, document):
        """The queries of a dashboard that show nothing, with their values, by panel and legend."""
        missing = {}
        for panel in dashboard.panels(document):
            for target in panel["targets"]:
                values = self.query(dashboard.expression(target, "longshore"))
                if not values or (not any(value > 0 for value in values) and target["legendFormat"] not in ZERO):
                    missing[panel["title"], target["legendFormat"]] = values
        return missing


class Process:
    """A child process with its log."""

    def __init__(self, log, command, **options):
        self.log = log
        with log.open("w") as file:
            self.process = subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True, **options)

    def wait_for(self, condition, seconds):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.process.poll() is None:
            if found := condition():
                return found
            time.sleep(0.1)
        raise AssertionError(f"{self.process.args[0]} did not start: {self.log.read_text()}")

    def stop(self, number):
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait(timeout=60)


if __name__ == "__main__":
    unittest.main()

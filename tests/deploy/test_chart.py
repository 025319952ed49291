"""The chart renders what a cluster accepts, and refuses values that it cannot use."""

import json
import re
import subprocess
import tempfile
import unittest

import yaml

import chart
import dashboard
import rules

# What the Secrets that the values refer to would have.
SECRETS = {"LONGSHORE_WEBHOOKS_SECRET": "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"}

# Each is a list of arguments of helm, and the whole message that follows.
CONTRADICTIONS = {
    "no addresses": (
        ["--set", "redis.url=", "--set", "database.url="],
        [
            "database.url is missing: set it to postgres://USER@HOST:PORT/DATABASE, or name a Secret with the URL in "
            "database.urlSecret.name",
            "redis.url is missing: set it to redis://HOST:PORT, or name a Secret with the URL in redis.urlSecret.name",
        ],
    ),
    "two addresses": (
        ["--set", "redis.urlSecret.name=longshore"],
        ["redis.url and redis.urlSecret.name are both set: keep one"],
    ),
    "a password": (
        ["--set", "redis.url=redis://:hunter2@redis:6379"],
        [
            "redis.url contains a password: put the password into a Secret and name it in redis.passwordSecret.name, or "
            "the whole URL and name that in redis.urlSecret.name"
        ],
    ),
    "half a client certificate": (
        ["--set", "redis.tlsSecret.certKey=tls.crt"],
        ["redis.tlsSecret has only one of certKey and keyKey: a client certificate needs both"],
    ),
    "a setting of the chart's own": (
        ["--set", "config.grace=1m", "--set", "config.queues={bulk}"],
        [
            "config.grace has no effect, because the chart sets it: use worker.drainSeconds",
            "config.queues has no effect, because the chart sets it: use pools[].queues",
        ],
    ),
    "a literal key": (
        ["--set", "config.providers.my-llm.api_key=sk-hunter2"],
        [
            'config.providers.my-llm.api_key is a literal key: name a variable, such as "${MY_LLM_API_KEY}", and put it '
            "into the Secret of apiKeys.existingSecret"
        ],
    ),
    "a literal webhook secret": (
        ["--set", "config.webhooks.secret=whsec_hunter2"],
        [
            "config.webhooks.secret is a literal secret: leave it out and set LONGSHORE_WEBHOOKS_SECRET by env or "
            "envFrom, from a Secret"
        ],
    ),
    "a literal key in a variable": (
        ["--set", "worker.env[0].name=OPENAI_API_KEY", "--set", "worker.env[0].value=hunter2"],
        ["worker.env: OPENAI_API_KEY has a literal value: use valueFrom.secretKeyRef"],
    ),
    "grace not longer than the drain": (
        ["--set", "worker.terminationGracePeriodSeconds=330"],
        [
            "pools[default]: terminationGracePeriodSeconds is 330, but must exceed drainSeconds, which is 330: otherwise "
            "the kubelet kills workers while they hand back jobs"
        ],
    ),
    "no room for a rollout": (
        ["--set", "worker.strategy.maxSurge=0"],
        ["pools[default]: strategy.maxSurge and strategy.maxUnavailable are both 0, so no pod could ever be replaced"],
    ),
    "replicas and an autoscaler": (
        ["--set", "pools[0].name=a,pools[0].queues={x},pools[0].replicas=3", "--set", "worker.autoscaling.type=hpa"],
        ["pools[a]: replicas has no effect with autoscaling.type hpa: use autoscaling.minReplicas and maxReplicas"],
    ),
    "minimum above maximum": (
        ["--set", "worker.autoscaling.type=hpa", "--set", "worker.autoscaling.minReplicas=11"],
        ["pools[default]: autoscaling.minReplicas is 11, more than maxReplicas, which is 10"],
    ),
    "an HPA from zero": (
        ["--set", "worker.autoscaling.type=hpa", "--set", "worker.autoscaling.minReplicas=0"],
        ["pools[default]: autoscaling.minReplicas 0 needs autoscaling.type keda: an HPA cannot scale from zero"],
    ),
    "an HPA without a request": (
        ["--set", "worker.autoscaling.type=hpa", "--set", "worker.resources.requests.cpu=null"],
        ["pools[default]: autoscaling.hpa.cpuUtilization is a share of resources.requests.cpu, which is missing"],
    ),
    "KEDA without an address": (
        ["--set", "worker.autoscaling.type=keda", "--set", "redis.url=", "--set", "redis.urlSecret.name=longshore"],
        [
            "redis.url is missing, and KEDA needs it: it cannot read an address out of the Secret of redis.urlSecret. "
            "Set redis.url without a password, and redis.passwordSecret.name"
        ],
    ),
    "KEDA with a short name": (
        ["--set", "worker.autoscaling.type=keda"],
        [
            "redis.url: KEDA runs in another namespace and cannot resolve `redis:6379`: use the full name, such as "
            "redis.NAMESPACE.svc.cluster.local"
        ],
    ),
    "a label of the selector": (
        ["--set", "worker.podLabels.pool=x"],
        ["worker.podLabels.pool: the chart sets this label itself, because selectors have it: choose another name"],
    ),
    "a literal key of the encryption": (
        ["--set", "config.encryption.keys.k1=c2VjcmV0"],
        [
            'config.encryption.keys.k1 is a literal key: name a variable, such as "${LONGSHORE_KEY_K1}", and set it by '
            "envFrom, from a Secret"
        ],
    ),
    "two pools of one name": (
        ["--set", "pools[0].name=a,pools[0].queues={x},pools[1].name=a,pools[1].queues={y}"],
        ["pools[a]: two pools have this name"],
    ),
}

# Each is a list of arguments of helm, and the path and the name that the message has.
BROKEN = {
    "a typo": (["--set", "worker.concurency=5"], ["worker", "concurency"]),
    "a typo in a pool": (["--set", "pools[0].queue=x,pools[0].name=a,pools[0].queues={x}"], ["pools", "0", "queue"]),
    "a typo at the top": (["--set", "schedulers.replicas=1"], ["schedulers"]),
    "no image": (["--set", "image.repository="], ["image", "repository"]),
    "a text for a number": (["--set", "worker.concurrency=many"], ["worker", "concurrency"]),
    "out of range": (["--set", "worker.concurrency=100001"], ["worker", "concurrency"]),
    "a bad quantity": (["--set", "worker.resources.limits.memory=1GiB"], ["worker", "resources", "limits", "memory"]),
    "an unknown mode": (["--set", "migrations.mode=job"], ["migrations", "mode"]),
    "a bad queue": (["--set", "pools[0].name=a,pools[0].queues={a b}"], ["pools", "0", "queues", "0"]),
    "a bad weight": (["--set", "pools[0].name=a,pools[0].queues={a=0}"], ["pools", "0", "queues", "0"]),
    "no queues": (["--set-json", 'pools=[{"name":"a","queues":[]}]'], ["pools", "0", "queues"]),
    "a bad pool name": (["--set", "pools[0].name=A,pools[0].queues={x}"], ["pools", "0", "name"]),
    "a budget that blocks": (
        ["--set", "worker.podDisruptionBudget.maxUnavailable=0"],
        ["worker", "podDisruptionBudget", "maxUnavailable"],
    ),
    "a typo in a variable": (["--set", "env[0].name=A,env[0].vale=x"], ["env", "0", "vale"]),
    "a bad URL": (["--set", "database.url=mysql://db"], ["database", "url"]),
}


@unittest.skipIf(chart.WHY_NO_HELM, chart.WHY_NO_HELM)
class Chart(unittest.TestCase):
    maxDiff = None

    def test_lint(self):
        for version in chart.HELMS:
            for name, path in chart.VALUES.items():
                with self.subTest(version=version, values=name):
                    done = chart.helm("lint", "--strict", chart.CHART, "--values", path, version=version)
                    self.assertEqual(done.returncode, 0, done.stdout)

    def test_renderings_follow_all_rules(self):
        for name in chart.VALUES:
            for version in rules.KUBERNETES_VERSIONS:
                with self.subTest(values=name, kubernetes=version):
                    objects = chart.render(name, "--kube-version", version)
                    self.assertEqual(rules.faults(objects), [])

    def test_optional_parts_follow_all_rules(self):
        for arguments in [
            ["--set", "migrations.mode=none"],
            ["--set", "migrations.mode=initContainer"],
            ["--set", "worker.autoscaling.type=hpa"],
            ["--set", "networkPolicy.enabled=true", "--set", "podMonitor.enabled=true"],
            ["--set", "serviceAccount.create=false"],
            ["--set", "fullnameOverride=a", "--set", "nameOverride=b"],
            ["--set", r"redis.url=rediss+cluster://a.example\,b.example:7000", "--set", "worker.autoscaling.type=keda"],
            ["--set-json", 'security={"runAsUser":null,"runAsGroup":null,"fsGroup":null}'],
        ]:
            with self.subTest(arguments=arguments):
                self.assertEqual(rules.faults(chart.render("minimal", *arguments)), [])

    def test_both_versions_of_helm_render_the_same(self):
        for name in chart.VALUES:
            with self.subTest(values=name):
                self.assertEqual(*(chart.render(name, version=version) for version in chart.HELMS))

    def test_an_old_cluster_is_refused(self):
        done = chart.template("minimal", "--kube-version", "1.26.0")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("kubeVersion: >=1.27.0-0", done.stderr)

    def test_contradictions_are_refused_by_name(self):
        for version in chart.HELMS:
            for name, (arguments, faults) in CONTRADICTIONS.items():
                with self.subTest(version=version, fault=name):
                    done = chart.template("minimal", *arguments, version=version)
                    self.assertNotEqual(done.returncode, 0)
                    expected = f"The values have {len(faults)} fault(s):\n" + "".join(
                        f"  - {text}\n" for text in faults
                    )
                    self.assertIn(expected.strip(), done.stderr)
                    self.assertNotIn("hunter2", done.stderr)

    def test_values_of_the_wrong_form_are_refused_by_name(self):
        for version in chart.HELMS:
            for name, (arguments, path) in BROKEN.items():
                with self.subTest(version=version, fault=name):
                    done = chart.template("minimal", *arguments, version=version)
                    self.assertNotEqual(done.returncode, 0)
                    self.assertIn("values don't meet the specifications of the schema", done.stderr)
                    # Version 3 writes `pools.0.name`, version 4 `/pools/0/name`; both name unknown keys apart.
                    parent = "[./]".join(path[:-1])
                    self.assertRegex(done.stderr, rf"\b{parent}\b.*\b{path[-1]}\b")

    def test_the_notes_name_deployments_that_exist(self):
        for name, path in chart.VALUES.items():
            with self.subTest(values=name):
                done = chart.helm("install", "longshore", chart.CHART, "--dry-run=client", "--values", path)
                self.assertEqual(done.returncode, 0, done.stderr)
                notes = done.stdout.partition("\nNOTES:\n")[2]
                commands = re.findall(
                    r"^ {4}kubectl -n default exec deploy/(\S+) -- longshore (\w+)", notes, re.MULTILINE
                )
                self.assertEqual([command for _name, command in commands], ["doctor", "submit"])
                names = {document["metadata"]["name"] for document in chart.render(name)}
                self.assertLessEqual({deployment for deployment, _command in commands}, names)

    def test_the_manifests_are_those_of_the_chart(self):
        script = chart.ROOT / "deploy/kubernetes/render.sh"
        done = subprocess.run([script, "--check"], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_pools_override_what_all_workers_have(self):
        pods = {
            document["spec"]["template"]["metadata"]["labels"]["pool"]: document["spec"]["template"]["spec"]
            for document in chart.render("production")
            if document["kind"] == "Deployment" and "pool" in document["metadata"]["labels"]
        }
        self.assertEqual(pods["interactive"]["terminationGracePeriodSeconds"], 180)
        self.assertEqual(pods["bulk"]["terminationGracePeriodSeconds"], 390)
        self.assertEqual(variable(pods["bulk"], "LONGSHORE_CONCURRENCY"), "2000")
        self.assertEqual(variable(pods["interactive"], "LONGSHORE_QUEUES"), "chat=6,default")

    def test_only_workers_have_the_keys_of_providers(self):
        for document in chart.render("production"):
            has_keys = "longshore-api-keys" in yaml.dump(document)
            is_worker = document["metadata"]["labels"].get("app.kubernetes.io/component") == "worker"
            self.assertEqual(has_keys, is_worker and document["kind"] == "Deployment", document["metadata"]["name"])

    def test_keda_adds_up_both_streams_of_every_queue(self):
        (scaler,) = (document for document in chart.render("production") if document["kind"] == "ScaledObject")
        streams = [trigger["metadata"]["stream"] for trigger in scaler["spec"]["triggers"]]
        self.assertEqual(
            streams,
            [
                "{longshore}:queue:chat",
                "{longshore}:queue:~chat",
                "{longshore}:queue:default",
                "{longshore}:queue:~default",
            ],
        )
        modifiers = scaler["spec"]["advanced"]["scalingModifiers"]
        self.assertEqual(modifiers["target"], "400", "80 % of the concurrency, 500")
        self.assertNotIn("consumerGroup", yaml.dump(scaler), "with a group, KEDA would not count the whole stream")

    def test_keda_reaches_redis_as_the_programs_do(self):
        expected = {
            "redis://r.example": ("redis-streams", {"address": "r.example:6379"}),
            "redis://ann@r.example:7000/3": (
                "redis-streams",
                {"address": "r.example:7000", "databaseIndex": "3", "username": "ann"},
            ),
            "rediss+cluster://a.example,b.example:7000": (
                "redis-cluster-streams",
                {"addresses": "a.example:6379,b.example:7000", "enableTLS": "true"},
            ),
            "redis+sentinel://a.example,b.example:7000/main/2": (
                "redis-sentinel-streams",
                {"addresses": "a.example:26379,b.example:7000", "sentinelMaster": "main", "databaseIndex": "2"},
            ),
        }
        for url, (kind, metadata) in expected.items():
            with self.subTest(url=url):
                arguments = ["--set", "worker.autoscaling.type=keda", "--set-json", f'redis.url="{url}"']
                objects = chart.render("minimal", *arguments)
                (scaler,) = (document for document in objects if document["kind"] == "ScaledObject")
                trigger = scaler["spec"]["triggers"][0]
                self.assertEqual(trigger["type"], kind)
                own = {key: value for key, value in trigger["metadata"].items() if not key.startswith("stream")}
                self.assertEqual(own, metadata)

    def test_alerts_and_dashboard_arrive_unchanged(self):
        objects = chart.render("production")
        (rule,) = (document for document in objects if document["kind"] == "PrometheusRule")
        self.assertEqual(rule["spec"], yaml.safe_load((chart.ROOT / "deploy/prometheus/alerts.yaml").read_text()))
        (shown,) = (document for document in objects if "longshore.json" in document.get("data", {}))
        self.assertEqual(json.loads(shown["data"]["longshore.json"]), dashboard.load())
        self.assertEqual(shown["metadata"]["labels"]["grafana_dashboard"], "1")

    def test_longshore_accepts_the_configuration(self):
        """The file of the ConfigMap together with the variables of every service."""
        program = chart.ROOT / "target/debug/longshore"
        if not program.exists():
            self.skipTest("target/debug/longshore is not built")
        for name in chart.VALUES:
            objects = chart.render(name)
            (config,) = (document for document in objects if "longshore.yaml" in document.get("data", {}))
            with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
                file.write(config["data"]["longshore.yaml"])
                file.flush()
                for document in objects:
                    if document["kind"] != "Deployment":
                        continue
                    with self.subTest(values=name, service=document["metadata"]["name"]):
                        (container,) = document["spec"]["template"]["spec"]["containers"]
                        env = {
                            entry["name"]: entry.get("value", SECRETS.get(entry["name"], ""))
                            for entry in container["env"]
                        }
                        if "envFrom" in container:
                            env["GROQ_API_KEY"] = "any"
                        done = subprocess.run(
                            [program, "config", "validate", file.name],
                            env=env | {"LONGSHORE_CONFIG": file.name},
                            capture_output=True,
                            text=True,
                            check=False,
                        )
                        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


class Values(unittest.TestCase):
    def test_every_value_has_a_comment(self):
        self.assertEqual(list(uncommented((chart.CHART / "values.yaml").read_text())), [])
        self.assertEqual(list(uncommented("# All\na:\n  b: 1 # one\n  c: 2\n")), ["c: 2"])
        self.assertEqual(list(uncommented("a:\n  b: # of b\n    c: 2\n")), [])

    def test_the_schema_has_every_value(self):
        """Also the other way round, except for what is a map of anything."""
        values = yaml.safe_load((chart.CHART / "values.yaml").read_text())
        schema = yaml.safe_load((chart.CHART / "values.schema.json").read_text())
        self.compare(values, schema, schema["definitions"], "")

    def compare(self, values, schema, definitions, path):
        if "$ref" in schema:
            schema = definitions[schema["$ref"].rpartition("/")[2]]
        properties = schema.get("properties")
        if isinstance(values, dict) and properties and values:
            optional = {"global", "selectPolicy", "ephemeral-storage"}
            self.assertLessEqual(set(values), set(properties), f"values.schema.json at {path or 'the top'}")
            if path not in ("migrations.resources.limits", "scheduler.resources.limits", "worker.resources.limits"):
                missing = set(properties) - set(values) - optional
                self.assertEqual(missing, set(), f"values.yaml at {path or 'the top'}")
            for key, value in values.items():
                self.compare(value, properties[key], definitions, f"{path}.{key}".lstrip("."))

    def test_the_schema_refuses_unknown_names_everywhere(self):
        schema = yaml.safe_load((chart.CHART / "values.schema.json").read_text())

        def visit(node, path):
            if isinstance(node, dict):
                if "properties" in node and node.get("type") == "object":
                    self.assertIs(node.get("additionalProperties"), False, path)
                for key, value in node.items():
                    visit(value, f"{path}/{key}")

        visit(schema, "")


def uncommented(text):
    """Values without a comment on their line, above it, or at a map that they are in, except for those at the top."""
    commented = {}
    above = False
    for line in text.splitlines():
        match = re.match(r"( *)(?:- )?[\w-]+:", line)
        if match:
            depth = len(match.group(1))
            commented = {other: has for other, has in commented.items() if other < depth}
            commented[depth] = above or " # " in line
            is_map = line.rstrip().endswith(":")
            inherited = any(has for other, has in commented.items() if 0 < other < depth)
            if not (commented[depth] or inherited or is_map):
                yield line.strip()
        above = line.strip().startswith("#")


class Manifests(unittest.TestCase):
    def test_the_overlay_of_the_readme_changes_what_it_names(self):
        folder = chart.ROOT / "deploy/kubernetes"
        block = re.search(r"```yaml\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL).group(1)
        overlay = yaml.safe_load(block)
        objects = [document for document in yaml.safe_load_all((folder / "longshore.yaml").read_text()) if document]
        for template in rules.templates(objects):
            (container,) = template["spec"]["containers"]
            for change in yaml.safe_load(overlay["patches"][0]["patch"]):
                index = int(change["path"].rpartition("/")[2])
                self.assertEqual(container["env"][index]["name"], change["value"]["name"])
            self.assertTrue(container["image"].startswith(f"{overlay['images'][0]['name']}:"))


def variable(spec, name):
    (container,) = spec["containers"]
    (found,) = (entry["value"] for entry in container["env"] if entry["name"] == name)
    return found


if __name__ == "__main__":
    unittest.main()

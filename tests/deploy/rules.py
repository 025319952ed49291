"""What must hold for the objects of a rendered chart.

The schemas know the names and types of fields. The functions here hold what only an API server refuses, what not
even that notices (probes of ports that do not exist, unknown keys of triggers), and our own policy. `faults` returns
every violation as `Kind/name: where: what`.
"""

import json
import re
from decimal import Decimal
from functools import cache
from pathlib import Path

import kubernetes_validate

import custom_objects
import promql

DOCUMENTATION = Path(__file__).parents[2] / "docs/CONFIGURATION.md"

# The oldest version that the chart supports, and the newest that has a schema.
KUBERNETES_VERSIONS = ["1.27.0", "1.37.0"]

SERVICES = {"worker", "scheduler"}

# The keys that KEDA's scalers of Redis streams read without a consumer group. It ignores all others.
TRIGGER_KEYS = {
    "stream", "streamLength", "activationLagCount", "databaseIndex", "enableTLS", "unsafeSsl", "username",
    "usernameFromEnv", "passwordFromEnv",
}  # fmt: skip
TRIGGERS = {
    "redis-streams": TRIGGER_KEYS | {"address", "host", "port", "addressFromEnv", "hostFromEnv", "portFromEnv"},
    "redis-cluster-streams": TRIGGER_KEYS | {"addresses", "hosts", "ports"},
    "redis-sentinel-streams": TRIGGER_KEYS
    | {"addresses", "hosts", "ports", "sentinelMaster", "sentinelUsername", "sentinelPasswordFromEnv"},
}

LABEL_VALUE = re.compile(r"^([A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?)?$")
NAME = re.compile(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
PORT_NAME = re.compile(r"^(?=.*[a-z])[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?$")
QUANTITY = re.compile(r"^(\d+(?:\.\d+)?)(m|k|M|G|T|Ki|Mi|Gi|Ti)?$")
FACTORS = {
    None: 1, "m": Decimal("0.001"), "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40,
}  # fmt: skip


def faults(objects):
    """Every fault of the objects of one rendering."""
    found = []
    for document in objects:
        of = f"{document['kind']}/{document['metadata']['name']}"
        checks = CHECKS.get(document["kind"])
        if checks is None:
            found.append(f"{of}: no rule knows {document['kind']}: add one to rules.py")
            continue
        found += [f"{of}: {fault}" for fault in schema_faults(json.dumps(document))]
        # The rules read fields, so that they only run on what has the right form.
        if not any(fault.startswith(f"{of}: ") for fault in found):
            for check in [names_and_labels, *checks]:
                found += [f"{of}: {fault}" for fault in check(document, objects)]
    return found + list(duplicates(objects))


@cache
def schema_faults(text):
    """Takes a document as JSON, because the same ones come up again and again and each takes a tenth of a second."""
    document = json.loads(text)
    if document["apiVersion"].split("/")[0] in custom_objects.PACKAGES:
        return custom_objects.faults(document)
    found = []
    for version in KUBERNETES_VERSIONS:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            found.append(f"{'.'.join(map(str, error.path))}: {error.message} (Kubernetes {version})")
        except kubernetes_validate.SchemaNotFoundError:
            found.append(f"there is no {document['kind']} in {document['apiVersion']} (Kubernetes {version})")
    return found


def duplicates(objects):
    seen = set()
    for document in objects:
        name = (document["kind"], document["metadata"]["name"])
        if name in seen:
            yield f"{'/'.join(name)}: two objects have this name"
        seen.add(name)


def names_and_labels(document, _objects):
    if not NAME.match(document["metadata"]["name"]):
        yield "metadata.name: not a name of at most 63 of [a-z0-9-]"
    for where, labels in all_labels(document):
        for key, value in labels.items():
            if not LABEL_VALUE.match(value):
                yield f"{where}.{key}: `{value}` is not a label value"


def all_labels(node, path=""):
    """All maps of labels in a document, with their paths."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("labels", "matchLabels") and isinstance(value, dict):
                yield f"{path}{key}", value
            else:
                yield from all_labels(value, f"{path}{key}.")
    elif isinstance(node, list):
        for item in node:
            yield from all_labels(item, path)


def selectors(document, _objects):
    selected = document["spec"]["selector"]["matchLabels"]
    labels = document["spec"]["template"]["metadata"]["labels"]
    if not selected.items() <= labels.items():
        yield f"spec.selector: {selected} does not select the template's labels {labels}"


def strategy(document, _objects):
    rolling = document["spec"].get("strategy", {}).get("rollingUpdate", {})
    if {str(rolling.get(side, "25%")).rstrip("%") for side in ("maxSurge", "maxUnavailable")} == {"0"}:
        yield "spec.strategy: maxSurge and maxUnavailable are both 0"


def pod(document, objects):
    spec = document["spec"]["template"]["spec"]
    volumes = {volume["name"] for volume in spec.get("volumes", [])}
    names = [container["name"] for container in containers(spec)]
    if len(names) != len(set(names)):
        yield "two containers have the same name"
    for container in containers(spec):
        for fault in container_faults(container, volumes):
            yield f"container {container['name']}: {fault}"
    if spec.get("restartPolicy", "Always") != "Always" and document["kind"] == "Deployment":
        yield "restartPolicy: must be Always"
    yield from references(document, spec, objects)


def containers(spec):
    return spec.get("initContainers", []) + spec["containers"]


def container_faults(container, volumes):
    if container.get("imagePullPolicy") not in ("Always", "IfNotPresent", "Never"):
        yield f"imagePullPolicy: `{container.get('imagePullPolicy')}` is not Always, IfNotPresent or Never"
    for mount in container.get("volumeMounts", []):
        if mount["name"] not in volumes:
            yield f"volumeMounts: there is no volume `{mount['name']}`"
    yield from ports_and_probes(container)
    yield from resources(container.get("resources", {}))
    yield from environment(container.get("env", []))


def ports_and_probes(container):
    ports = container.get("ports", [])
    names = {port.get("name") for port in ports}
    numbers = {port["containerPort"] for port in ports}
    for port in ports:
        if not PORT_NAME.match(port.get("name", "")):
            yield f"ports: `{port.get('name')}` is not a port name of at most 15 of [a-z0-9-]"
        if not 1 <= port["containerPort"] <= 65535:
            yield f"ports: {port['containerPort']} is not between 1 and 65535"
    for kind in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(kind)
        if not probe:
            continue
        if probe["httpGet"]["port"] not in names | numbers:
            yield f"{kind}: the container has no port `{probe['httpGet']['port']}`"
        if kind != "readinessProbe" and probe.get("successThreshold", 1) != 1:
            yield f"{kind}: successThreshold must be 1"
        for number in ("periodSeconds", "timeoutSeconds", "failureThreshold"):
            if probe.get(number, 1) < 1:
                yield f"{kind}: {number} must be at least 1"


def resources(amounts):
    parsed = {}
    for side in ("requests", "limits"):
        for name, text in amounts.get(side, {}).items():
            match = QUANTITY.match(str(text))
            if match:
                parsed[side, name] = Decimal(match.group(1)) * FACTORS[match.group(2)]
            else:
                yield f"resources.{side}.{name}: `{text}` is not a quantity such as 500m or 1Gi"
    for (side, name), amount in parsed.items():
        if side == "requests" and amount > parsed.get(("limits", name), amount):
            yield f"resources.requests.{name} exceeds resources.limits.{name}"


def environment(env):
    names = [variable["name"] for variable in env]
    for name in {name for name in names if names.count(name) > 1}:
        yield f"env: {name} is set twice"
    documented = set(re.findall(r"LONGSHORE_[A-Z_]+", DOCUMENTATION.read_text()))
    for name in names:
        if name.startswith("LONGSHORE_") and name not in documented:
            yield f"env: nothing reads {name}: docs/CONFIGURATION.md does not have it"


def references(document, spec, objects):
    """ConfigMaps, ServiceAccounts and hooks. Secrets are the operator's."""
    account = spec.get("serviceAccountName", "default")
    if account != "default" and not exists(objects, "ServiceAccount", account):
        yield f"serviceAccountName: there is no ServiceAccount `{account}`"
    for volume in spec.get("volumes", []):
        name = volume.get("configMap", {}).get("name")
        if name and not exists(objects, "ConfigMap", name):
            yield f"volumes: there is no ConfigMap `{name}`"
        elif name and is_hook(document):
            yield f"volumes: the ConfigMap `{name}` does not exist yet when the hook runs"
    if is_hook(document) and account != "default":
        yield f"serviceAccountName: `{account}` does not exist yet when the hook runs"


def exists(objects, kind, name):
    return any(document["kind"] == kind and document["metadata"]["name"] == name for document in objects)


def is_hook(document):
    return "helm.sh/hook" in document["metadata"].get("annotations", {})


def policy(document, _objects):
    """Our own rules, which no server knows."""
    spec = document["spec"]["template"]["spec"]
    security = spec.get("securityContext", {})
    if security.get("runAsNonRoot") is not True:
        yield "securityContext.runAsNonRoot: must be true"
    if security.get("runAsUser") == 0:
        yield "securityContext.runAsUser: must not be root"
    if security.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "securityContext.seccompProfile: must be RuntimeDefault"
    if spec.get("automountServiceAccountToken") is not False:
        yield "automountServiceAccountToken: must be false"
    for host in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(host):
            yield f"{host}: not allowed"
    if any("hostPath" in volume for volume in spec.get("volumes", [])):
        yield "volumes: hostPath is not allowed"
    for container in containers(spec):
        for fault in container_policy(container):
            yield f"container {container['name']}: {fault}"


def container_policy(container):
    wanted = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    security = container.get("securityContext", {})
    for name in wanted.keys() | security.keys():
        if security.get(name) != wanted.get(name):
            yield f"securityContext.{name}: must be {wanted.get(name, 'absent')}, is {security.get(name)}"
    for side, name in [("requests", "cpu"), ("requests", "memory"), ("limits", "memory")]:
        if name not in container.get("resources", {}).get(side, {}):
            yield f"resources.{side}.{name}: missing"
    if re.search(r":latest$", container["image"]) or not re.search(
        r"(:[^/]+|@sha256:[0-9a-f]{64})$", container["image"]
    ):
        yield f"image: `{container['image']}` has no fixed version"
    if container["name"] in SERVICES:
        for probe, path in [("livenessProbe", "/live"), ("readinessProbe", "/ready")]:
            if container.get(probe, {}).get("httpGet", {}).get("path") != path:
                yield f"{probe}: missing, or not {path}"
    for variable in container.get("env", []):
        if re.search(r"(API_KEY|PASSWORD|SECRET|TOKEN)$", variable["name"]) and variable.get("value"):
            yield f"env: {variable['name']} has a literal value"


def drain(document, _objects):
    spec = document["spec"]["template"]["spec"]
    for container in spec["containers"]:
        for variable in container.get("env", []):
            if variable["name"] == "LONGSHORE_GRACE":
                seconds = int(variable["value"].removesuffix("s"))
                if spec["terminationGracePeriodSeconds"] <= seconds:
                    yield f"terminationGracePeriodSeconds: must exceed LONGSHORE_GRACE, {seconds} s"


def scaled_once(document, objects):
    name = document["metadata"]["name"]
    scalers = [
        scaler["kind"]
        for scaler in objects
        if scaler["kind"] in ("ScaledObject", "HorizontalPodAutoscaler")
        and scaler["spec"]["scaleTargetRef"]["name"] == name
    ]
    if len(scalers) > 1:
        yield f"two autoscalers change it: {', '.join(scalers)}"
    if scalers and "replicas" in document["spec"]:
        yield "spec.replicas: an autoscaler sets it, and each upgrade would set it back"
    if not scalers and "replicas" not in document["spec"]:
        yield "spec.replicas: missing, and nothing scales it"


def scale_target(document, objects):
    target = document["spec"]["scaleTargetRef"]["name"]
    if not exists(objects, "Deployment", target):
        yield f"spec.scaleTargetRef: there is no Deployment `{target}`"


def autoscaler(document, _objects):
    spec = document["spec"]
    if not 1 <= spec.get("minReplicas", 1) <= spec["maxReplicas"]:
        yield "spec.minReplicas: must be at least 1 and at most maxReplicas"


def scaled_object(document, objects):
    spec = document["spec"]
    if spec.get("minReplicaCount", 0) > spec.get("maxReplicaCount", 100):
        yield "spec.minReplicaCount: exceeds maxReplicaCount"
    names = [trigger.get("name") for trigger in spec["triggers"]]
    if len(names) != len(set(names)):
        yield "spec.triggers: two have the same name"
    formula = spec.get("advanced", {}).get("scalingModifiers", {}).get("formula", "")
    if set(re.findall(r"\w+", formula)) != set(names):
        yield f"spec.advanced.scalingModifiers.formula: `{formula}` does not use exactly the triggers {names}"
    for trigger in spec["triggers"]:
        for fault in trigger_faults(trigger, objects):
            yield f"trigger {trigger['name']}: {fault}"


def trigger_faults(trigger, objects):
    known = TRIGGERS.get(trigger["type"])
    if known is None:
        yield f"type: no rule knows `{trigger['type']}`: add it to TRIGGERS"
        return
    for key in trigger["metadata"].keys() - known:
        yield f"metadata.{key}: KEDA does not read it, and does not say so"
    for key in ("stream", "streamLength"):
        if key not in trigger["metadata"]:
            yield f"metadata.{key}: missing"
    authentication = trigger.get("authenticationRef", {}).get("name")
    if authentication and not exists(objects, "TriggerAuthentication", authentication):
        yield f"authenticationRef: there is no TriggerAuthentication `{authentication}`"


def disruption(document, objects):
    spec = document["spec"]
    if ("minAvailable" in spec) == ("maxUnavailable" in spec):
        yield "spec: needs exactly one of minAvailable and maxUnavailable"
    if str(spec.get("maxUnavailable", 1)).rstrip("%") == "0" or str(spec.get("minAvailable")) == "100%":
        yield "spec: blocks every drain of a node"
    if not selects_pods(spec["selector"], objects):
        yield "spec.selector: selects no pods"


def network_policy(document, objects):
    spec = document["spec"]
    for rule in spec.get("ingress", []) + spec.get("egress", []):
        for port in rule.get("ports", []):
            if isinstance(port["port"], int) and not 1 <= port["port"] <= 65535:
                yield f"port {port['port']} is not between 1 and 65535"
    if not selects_pods(spec["podSelector"], objects):
        yield "spec.podSelector: selects no pods"


def pod_monitor(document, objects):
    spec = document["spec"]
    if not selects_pods(spec["selector"], objects):
        yield "spec.selector: selects no pods"
    ports = {
        port["name"]
        for template in templates(objects)
        for container in containers(template["spec"])
        for port in container.get("ports", [])
    }
    for endpoint in spec["podMetricsEndpoints"]:
        if endpoint["port"] not in ports:
            yield f"spec.podMetricsEndpoints: no container has a port `{endpoint['port']}`"
        if not re.match(r"^\d+(ms|s|m|h)$", endpoint.get("interval", "30s")):
            yield f"spec.podMetricsEndpoints: `{endpoint['interval']}` is not a duration such as 30s"


def prometheus_rule(document, _objects):
    for group in document["spec"]["groups"]:
        for rule in group["rules"]:
            name = rule.get("alert") or rule.get("record")
            if not re.match(r"^(\d+(ms|s|m|h|d|w|y))+$", rule.get("for", "0s")):
                yield f"{name}: for: `{rule['for']}` is not a duration such as 5m"
            for fault in promql.faults(rule["expr"]):
                yield f"{name}: expr: {fault}"


def selects_pods(selector, objects):
    wanted = selector.get("matchLabels", {}).items()
    return any(wanted <= template["metadata"]["labels"].items() for template in templates(objects))


def templates(objects):
    return [document["spec"]["template"] for document in objects if "template" in document.get("spec", {})]


def job(document, _objects):
    if document["spec"]["template"]["spec"].get("restartPolicy") not in ("Never", "OnFailure"):
        yield "restartPolicy: must be Never or OnFailure"


CHECKS = {
    "ConfigMap": [],
    "Deployment": [selectors, strategy, pod, policy, drain, scaled_once],
    "HorizontalPodAutoscaler": [scale_target, autoscaler],
    "Job": [job, pod, policy],
    "NetworkPolicy": [network_policy],
    "PodDisruptionBudget": [disruption],
    "PodMonitor": [pod_monitor],
    "PrometheusRule": [prometheus_rule],
    "ScaledObject": [scale_target, scaled_object],
    "ServiceAccount": [],
    "TriggerAuthentication": [],
}

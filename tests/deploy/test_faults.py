"""Every rule finds the fault that it is there for. The faults are seeded into what the chart renders."""

import copy
import unittest

import chart
import rules


def find(objects, kind, name=""):
    return next(
        document for document in objects if document["kind"] == kind and document["metadata"]["name"].endswith(name)
    )


def deployment(objects):
    return find(objects, "Deployment", "-bulk")


def spec(objects):
    return deployment(objects)["spec"]["template"]["spec"]


def container(objects):
    return spec(objects)["containers"][0]


def trigger(objects):
    return find(objects, "ScaledObject")["spec"]["triggers"][0]


def set_in(find_map, key, value):
    """A change that sets a key of the map that `find_map` finds."""
    return lambda objects: find_map(objects).__setitem__(key, value)


def without(find_map, key):
    return lambda objects: find_map(objects).__delitem__(key)


def security(objects):
    return container(objects)["securityContext"]


def limits(objects):
    return container(objects)["resources"]["limits"]


def budget(objects):
    return find(objects, "PodDisruptionBudget")["spec"]


def set_environment(name, value):
    def change(objects):
        variables = container(objects)["env"]
        for variable in variables:
            if variable["name"] == name:
                variable["value"] = value
                return
        variables.append({"name": name, "value": value})

    return change


def alert(objects):
    return find(objects, "PrometheusRule")["spec"]["groups"][0]["rules"][0]


# What is changed, and what the fault says.
FAULTS = {
    "unknown field of a probe": (
        set_in(lambda objects: container(objects)["livenessProbe"], "periodSecond", 1),
        "'periodSecond' was unexpected",
    ),
    "replicas as a text": (
        set_in(lambda objects: find(objects, "Deployment", "-scheduler")["spec"], "replicas", "two"),
        "'two' is not of type",
    ),
    "selector that selects nothing": (
        set_in(lambda objects: deployment(objects)["spec"]["selector"]["matchLabels"], "pool", "other"),
        "does not select the template's labels",
    ),
    "bad quantity": (set_in(limits, "memory", "1GiB"), "`1GiB` is not a quantity"),
    "request above the limit": (set_in(limits, "memory", "1Mi"), "requests.memory exceeds"),
    "liveness with successThreshold": (
        set_in(lambda objects: container(objects)["livenessProbe"], "successThreshold", 2),
        "livenessProbe: successThreshold must be 1",
    ),
    "mount of no volume": (
        set_in(lambda objects: container(objects)["volumeMounts"][0], "name", "conf"),
        "there is no volume `conf`",
    ),
    "probe of no port": (
        set_in(lambda objects: container(objects)["readinessProbe"]["httpGet"], "port", "htpp"),
        "readinessProbe: the container has no port `htpp`",
    ),
    "long port name": (
        set_in(lambda objects: container(objects)["ports"][0], "name", "health-and-metrics"),
        "`health-and-metrics` is not a port name",
    ),
    "no surge and no unavailable": (
        set_in(lambda objects: deployment(objects)["spec"]["strategy"]["rollingUpdate"], "maxSurge", 0),
        "maxSurge and maxUnavailable are both 0",
    ),
    "bad pull policy": (
        set_in(container, "imagePullPolicy", "Sometimes"),
        "`Sometimes` is not Always, IfNotPresent or Never",
    ),
    "removed version of an API": (
        set_in(lambda objects: find(objects, "PodDisruptionBudget"), "apiVersion", "policy/v1beta1"),
        "there is no PodDisruptionBudget in policy/v1beta1",
    ),
    "budget with minimum and maximum": (set_in(budget, "minAvailable", 1), "exactly one of"),
    "port out of range": (
        set_in(lambda objects: find(objects, "NetworkPolicy")["spec"]["egress"][0]["ports"][0], "port", 99999),
        "port 99999 is not between 1 and 65535",
    ),
    "bad label value": (
        set_in(lambda objects: deployment(objects)["metadata"]["labels"], "team", "a/b"),
        "`a/b` is not a label value",
    ),
    "unknown field of a ScaledObject": (
        set_in(lambda objects: find(objects, "ScaledObject")["spec"], "minReplicas", 1),
        "spec.minReplicas: there is no such field",
    ),
    "number in the metadata of a trigger": (
        set_in(lambda objects: trigger(objects)["metadata"], "streamLength", 400),
        "400 is not a string",
    ),
    "unknown key of a trigger": (
        set_in(lambda objects: trigger(objects)["metadata"], "createConsumerGroup", "true"),
        "metadata.createConsumerGroup: KEDA does not read it",
    ),
    "minimum above the maximum": (
        set_in(lambda objects: find(objects, "ScaledObject")["spec"], "minReplicaCount", 21),
        "spec.minReplicaCount: exceeds maxReplicaCount",
    ),
    "unknown field of a PodMonitor": (
        set_in(lambda objects: find(objects, "PodMonitor")["spec"]["podMetricsEndpoints"][0], "intervall", "30s"),
        "spec.podMetricsEndpoints[0].intervall: there is no such field",
    ),
    "alert with a bad duration": (set_in(alert, "for", "soon"), "for: `soon` is not a duration"),
    "alert with a bad expression": (set_in(alert, "expr", "sum("), "expr: not PromQL"),
    "alert on a metric that does not exist": (
        set_in(alert, "expr", "longshore_queue_length > 1"),
        "longshore_queue_length: docs/METRICS.md has no such metric",
    ),
    "unknown field of an alert": (set_in(alert, "fro", "5m"), "there is no such field"),
    "kind that no rule knows": (
        lambda objects: objects.append({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "longshore"}}),
        "no rule knows Service",
    ),
    # Beyond what an API server refuses.
    "grace not longer than the drain": (
        set_in(spec, "terminationGracePeriodSeconds", 330),
        "must exceed LONGSHORE_GRACE, 330 s",
    ),
    "unknown variable": (set_environment("LONGSHORE_CONCURENCY", "5"), "nothing reads LONGSHORE_CONCURENCY"),
    "literal key": (set_environment("OPENAI_API_KEY", "sk-1"), "OPENAI_API_KEY has a literal value"),
    "variable set twice": (
        lambda objects: container(objects)["env"].append({"name": "LONGSHORE_GRACE", "value": "330s"}),
        "LONGSHORE_GRACE is set twice",
    ),
    "replicas and an autoscaler": (
        set_in(lambda objects: deployment(objects)["spec"], "replicas", 2),
        "an autoscaler sets it",
    ),
    "two autoscalers": (
        set_in(
            lambda objects: find(objects, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"],
            "name",
            "longshore-worker-interactive",
        ),
        "two autoscalers change it",
    ),
    "autoscaler of nothing": (
        set_in(lambda objects: find(objects, "ScaledObject")["spec"]["scaleTargetRef"], "name", "other"),
        "there is no Deployment `other`",
    ),
    "HPA from zero": (
        set_in(lambda objects: find(objects, "HorizontalPodAutoscaler")["spec"], "minReplicas", 0),
        "spec.minReplicas: must be at least 1",
    ),
    "formula without a trigger": (
        set_in(
            lambda objects: find(objects, "ScaledObject")["spec"]["advanced"]["scalingModifiers"],
            "formula",
            "queue0_new",
        ),
        "does not use exactly the triggers",
    ),
    "unknown behavior of the fallback": (
        set_in(lambda objects: find(objects, "ScaledObject")["spec"]["fallback"], "behavior", "highest"),
        "'highest' is none of",
    ),
    "authentication that does not exist": (
        set_in(lambda objects: trigger(objects)["authenticationRef"], "name", "other"),
        "there is no TriggerAuthentication `other`",
    ),
    "budget that blocks drains": (set_in(budget, "maxUnavailable", 0), "blocks every drain of a node"),
    "budget of no pods": (
        set_in(lambda objects: budget(objects)["selector"]["matchLabels"], "app.kubernetes.io/name", "other"),
        "spec.selector: selects no pods",
    ),
    "monitor of no port": (
        set_in(lambda objects: find(objects, "PodMonitor")["spec"]["podMetricsEndpoints"][0], "port", "metrics"),
        "no container has a port `metrics`",
    ),
    "hook that needs what does not exist yet": (
        set_in(lambda objects: find(objects, "Job")["spec"]["template"]["spec"], "serviceAccountName", "longshore"),
        "`longshore` does not exist yet when the hook runs",
    ),
    "account that does not exist": (set_in(spec, "serviceAccountName", "other"), "there is no ServiceAccount `other`"),
    "two objects of one name": (
        lambda objects: objects.append(copy.deepcopy(deployment(objects))),
        "two objects have this name",
    ),
    "Job that restarts always": (
        set_in(lambda objects: find(objects, "Job")["spec"]["template"]["spec"], "restartPolicy", "Always"),
        "restartPolicy: must be Never or OnFailure",
    ),
    # Policy.
    "root": (set_in(lambda objects: spec(objects)["securityContext"], "runAsUser", 0), "must not be root"),
    "root allowed": (
        without(lambda objects: spec(objects)["securityContext"], "runAsNonRoot"),
        "runAsNonRoot: must be true",
    ),
    "no seccomp": (
        without(lambda objects: spec(objects)["securityContext"], "seccompProfile"),
        "must be RuntimeDefault",
    ),
    "writable root": (set_in(security, "readOnlyRootFilesystem", False), "readOnlyRootFilesystem: must be True"),
    "escalation": (without(security, "allowPrivilegeEscalation"), "allowPrivilegeEscalation: must be False"),
    "capability": (set_in(security, "capabilities", {"drop": ["ALL"], "add": ["NET_ADMIN"]}), "capabilities: must be"),
    "privileged": (set_in(security, "privileged", True), "privileged: must be absent"),
    "token": (without(spec, "automountServiceAccountToken"), "automountServiceAccountToken: must be false"),
    "host network": (set_in(spec, "hostNetwork", True), "hostNetwork: not allowed"),
    "no memory limit": (without(limits, "memory"), "resources.limits.memory: missing"),
    "no liveness probe": (without(container, "livenessProbe"), "livenessProbe: missing, or not /live"),
    "image without a version": (
        set_in(container, "image", "registry.example.com:5000/longshore"),
        "has no fixed version",
    ),
}


@unittest.skipIf(chart.WHY_NO_HELM, chart.WHY_NO_HELM)
class Faults(unittest.TestCase):
    def test_each_seeded_fault_is_found(self):
        rendered = chart.render("production")
        for name, (change, text) in FAULTS.items():
            with self.subTest(fault=name):
                objects = copy.deepcopy(rendered)
                change(objects)
                faults = rules.faults(objects)
                self.assertTrue(any(text in fault for fault in faults), f"not found: {text}\nfound: {faults}")


if __name__ == "__main__":
    unittest.main()

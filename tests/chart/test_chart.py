"""The chart: what it renders fits Kubernetes' schemas, and each pod is confined."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from jsonschema import Draft202012Validator

from api import settings as api_settings
from consumer import settings as consumer_settings
from deploy.replica import ROOT
from runtime.settings import describe
from tests.chart.programs import program
from tests.chart.resources import definitions

CHART = ROOT / "deploy" / "helm" / "wattline"
HERE = Path(__file__).parent
VALUES = ("minimal", "everything")
VERSIONS = ("1.30", "1.34", "1.37")
SECONDS = 60
POD_OWNERS = ("Deployment", "Job", "CronJob", "Pod")
SELECTING = ("Service", "PodDisruptionBudget", "NetworkPolicy", "PodMonitor")

Resource = dict[str, Any]


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    words = [str(program("helm")), *arguments]
    return subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, check=False)


def rendered(*arguments: str) -> list[Resource]:
    done = helm("template", "release", str(CHART), *arguments)
    assert done.returncode == 0, done.stderr
    return [found for found in yaml.safe_load_all(done.stdout) if found]


@pytest.fixture(scope="module", params=VALUES)
def resources(request: pytest.FixtureRequest) -> list[Resource]:
    return rendered("--values", str(HERE / f"{request.param}.yaml"))


@pytest.fixture(scope="module")
def everything() -> list[Resource]:
    return rendered("--values", str(HERE / "everything.yaml"))


def pod_of(resource: Resource) -> Resource:
    spec: Resource = resource["spec"]
    if resource["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    return spec if resource["kind"] == "Pod" else spec["template"]["spec"]


def pods(resources: list[Resource]) -> Iterator[tuple[str, Resource]]:
    for resource in resources:
        if resource["kind"] in POD_OWNERS:
            yield resource["metadata"]["name"], pod_of(resource)


def containers(pod: Resource) -> list[Resource]:
    return [*pod.get("initContainers", []), *pod["containers"]]


@pytest.mark.parametrize("values", VALUES)
def test_helm_finds_no_fault(values: str) -> None:
    done = helm("lint", "--strict", str(CHART), "--values", str(HERE / f"{values}.yaml"))
    assert done.returncode == 0, done.stdout


def test_core_resources_fit_the_schemas_of_kubernetes(resources: list[Resource]) -> None:
    own = [one for one in resources if "keda" not in one["apiVersion"]]
    own = [one for one in own if "coreos" not in one["apiVersion"]]
    assert {"Deployment", "Job", "CronJob", "NetworkPolicy"} <= {one["kind"] for one in own}
    for version in VERSIONS:
        for resource in own:
            kubernetes_validate.validate(resource, version, strict=True)


def test_a_field_that_kubernetes_does_not_know_is_found(everything: list[Resource]) -> None:
    deployment = next(one for one in everything if one["kind"] == "Deployment")
    wrong = json.loads(json.dumps(deployment))
    wrong["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_custom_resources_fit_the_definitions_of_their_operators(
    everything: list[Resource],
) -> None:
    known = definitions()
    own = [one for one in everything if (one["apiVersion"], one["kind"]) in known]
    assert {one["kind"] for one in own} == {"PodMonitor", "PrometheusRule", "ScaledObject"}
    for resource in own:
        schema = known[resource["apiVersion"], resource["kind"]]
        Draft202012Validator(schema).validate(resource)
        wrong = {**resource, "spec": {**resource["spec"], "unknown": 1}}
        assert not Draft202012Validator(schema).is_valid(wrong)


def test_pods_keep_the_restricted_standard(resources: list[Resource]) -> None:
    for name, pod in pods(resources):
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert container["resources"]["limits"]["memory"], name


def test_each_setting_that_a_pod_is_given_is_one_of_its_program(
    everything: list[Resource],
) -> None:
    known = {
        name
        for sections in (consumer_settings.SECTIONS, api_settings.SECTIONS)
        for name, _, _ in describe(sections)
    }
    for name, pod in pods(everything):
        for container in containers(pod):
            for setting in (one["name"] for one in container.get("env", [])):
                assert re.sub("_FILE$", "", setting) in known or setting in known, (name, setting)


def test_secrets_are_files_and_never_part_of_the_environment(everything: list[Resource]) -> None:
    for name, pod in pods(everything):
        mounted = {one["name"] for one in pod.get("volumes", [])}
        for container in containers(pod):
            assert {one["name"] for one in container.get("volumeMounts", [])} <= mounted, name
            for one in container.get("env", []):
                assert "valueFrom" not in one, name
                if one["name"].endswith(("_FILE", "FILE")):
                    paths = [mount["mountPath"] for mount in container["volumeMounts"]]
                    assert any(one["value"].startswith(f"{path}/") for path in paths), one


def test_each_program_is_given_the_url_of_its_own_role_only(everything: list[Resource]) -> None:
    given = {
        name.rsplit("-", 1)[1]: {
            item["key"]
            for volume in pod.get("volumes", [])
            if volume["name"] == "database"
            for item in volume["secret"]["items"]
        }
        for name, pod in pods(everything)
    }
    assert given == {
        "consumer": {"consumer"},
        "api": {"api", "apiRead"},
        "schema": {"owner"},
        "retention": {"owner"},
        "simulator": set(),
        "test": set(),
    }


def test_selectors_find_their_pods_and_no_others(everything: list[Resource]) -> None:
    labels = {
        resource["metadata"]["name"]: resource["spec"]["template"]["metadata"]["labels"]
        for resource in everything
        if resource["kind"] == "Deployment"
    }
    for resource in everything:
        if resource["kind"] not in (
            "Service",
            "PodDisruptionBudget",
            "NetworkPolicy",
            "PodMonitor",
        ):
            continue
        spec = resource["spec"]
        selector = spec.get("podSelector") or spec["selector"]
        wanted = selector.get("matchLabels", selector).items()
        found = [name for name, its in labels.items() if wanted <= its.items()]
        assert found == [resource["metadata"]["name"]]


def test_rules_and_dashboard_are_those_of_the_repository(everything: list[Resource]) -> None:
    (rules,) = (one for one in everything if one["kind"] == "PrometheusRule")
    alerts = (ROOT / "deploy" / "prometheus" / "alerts.yml").read_text()
    assert rules["spec"] == yaml.safe_load(alerts)
    (dashboards,) = (one for one in everything if one["kind"] == "ConfigMap")
    drawn = (ROOT / "deploy" / "grafana" / "dashboards" / "wattline.json").read_text()
    assert dashboards["data"] == {"wattline.json": drawn}


def test_an_alert_leads_to_the_runbook_where_people_read_it() -> None:
    values = ("--values", str(HERE / "everything.yaml"))
    base = "https://wiki.example/wattline/"
    found = rendered(*values, "--set", f"monitoring.runbookBase={base}")
    (rules,) = (one["spec"] for one in found if one["kind"] == "PrometheusRule")
    pages = [
        rule["annotations"]["runbook_url"] for group in rules["groups"] for rule in group["rules"]
    ]
    assert pages
    assert all(page.startswith(f"{base}docs/runbook.md#") for page in pages)


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (("--set", "kafka.bootstrapServers="), "kafka.bootstrapServers: is not set"),
        (("--set", "database.secretName="), "database.secretName: is not set"),
        (("--set", "api.keysSecretName="), "api.keysSecretName: is not set"),
        (("--set", "api.replica=3"), "additional properties 'replica' not allowed"),
        (("--set", "kafka.bootstrapServers=kafka"), "does not match pattern"),
        (("--set", "consumer.settings.batch=1"), "does not match pattern"),
        (("--set", "consumer.replicas=many"), "want integer"),
    ],
)
def test_values_that_cannot_be_used_are_named(words: tuple[str, str], fault: str) -> None:
    values = ("--values", str(HERE / "minimal.yaml"))
    done = helm("template", "release", str(CHART), *values, *words)
    assert done.returncode == 1
    assert fault in done.stderr

"""Manifests for Kubernetes: they match its schemas and hold no secrets."""

import json
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.support.command_line import Outcome, hpo

POSTGRESQL = "postgresql://me:geheim@db.example/hpo"
VERSION = "1.34"

COUNT = {"type": "integer", "minimum": 0}
TEMPLATE = {"type": "object", "required": ["spec"]}
"""Kubernetes' own schema checks it in addition."""
START = {"type": "object", "additionalProperties": {"type": "string"}}


def fields(required: str, **properties: object) -> dict[str, object]:
    """Return the schema of an object with these fields only."""
    return {
        "type": "object",
        "required": required.split(),
        "properties": properties,
        "additionalProperties": False,
    }


RAY_CLUSTER = fields(
    "apiVersion kind metadata spec",
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayCluster"},
    metadata={"type": "object", "required": ["name"]},
    spec=fields(
        "headGroupSpec workerGroupSpecs",
        rayVersion={"type": "string"},
        authOptions=fields("mode", mode={"enum": ["disabled", "token"]}),
        enableInTreeAutoscaling={"type": "boolean"},
        autoscalerOptions=fields(
            "",
            version={"enum": ["v1", "v2"]},
            upscalingMode={"enum": ["Default", "Conservative", "Aggressive"]},
            idleTimeoutSeconds=COUNT,
        ),
        headGroupSpec=fields("template", rayStartParams=START, template=TEMPLATE),
        workerGroupSpecs={
            "type": "array",
            "items": fields(
                "groupName template minReplicas maxReplicas",
                groupName={"type": "string"},
                replicas=COUNT,
                minReplicas=COUNT,
                maxReplicas=COUNT,
                rayStartParams=START,
                template=TEMPLATE,
            ),
        },
    ),
)
"""The documented fields of KubeRay's RayCluster that hpo uses."""


def launch(*options: str) -> Outcome:
    """Run `hpo launch kubernetes adult` with a URL that holds a password."""
    given = ["--image", "registry.example/hpo:1", "--storage", POSTGRESQL]
    return hpo("launch", "kubernetes", "adult", *given, *options)


def manifest(*options: str) -> dict[str, Any]:
    """Return the only manifest that the command prints."""
    done = launch(*options)
    assert done.code == 0, done.err
    assert "geheim" not in done.out
    assert "db.example" not in done.out
    (found,) = yaml.safe_load_all(done.out)
    return found


def check_template(template: dict[str, Any]) -> None:
    """Check a pod's template against Kubernetes' schema, and its references to the Secret."""
    carrier = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {}, "template": template}
    kubernetes_validate.validate(carrier, VERSION, strict=True)
    (container,) = template["spec"]["containers"]
    sources = {entry["name"]: entry["valueFrom"] for entry in container["env"]}
    for name in ("HPO_STORAGE", "HPO_ARTIFACTS"):
        assert sources[name] == {"secretKeyRef": {"name": "team", "key": name}}


def test_the_job_is_what_kubernetes_takes() -> None:
    options = ("--workers", "8", "--secret", "team", "--namespace", "ml", "--memory", "16Gi")
    job = manifest(*options, "--volume", "weights:/artifacts", "--cpus-per-worker", "3")
    kubernetes_validate.validate(job, VERSION, strict=True)
    check_template(job["spec"]["template"])
    assert (job["metadata"]["name"], job["metadata"]["namespace"]) == ("hpo-adult", "ml")
    spec = job["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 8, 8)
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    assert container["resources"] == {
        "requests": {"cpu": "3", "memory": "16Gi"},
        "limits": {"memory": "16Gi", "nvidia.com/gpu": 1},
    }
    assert container["volumeMounts"] == [{"name": "volume-0", "mountPath": "/artifacts"}]
    assert container["command"][:7] == [
        "hpo",
        "worker",
        "adult",
        "--workers",
        "1",
        "--gpus",
        "auto",
    ]
    assert pod["terminationGracePeriodSeconds"] > 20


def test_exit_codes_of_workers_have_their_meaning() -> None:
    spec = manifest()["spec"]
    rules = spec["podFailurePolicy"]["rules"]
    by_code = {
        c: r["action"] for r in rules if "onExitCodes" in r for c in r["onExitCodes"]["values"]
    }
    assert by_code == {2: "FailJob", 75: "Ignore"}
    (disruption,) = (rule for rule in rules if "onPodConditions" in rule)
    assert disruption["action"] == "Ignore"
    assert spec["backoffLimitPerIndex"] > 0
    assert spec["podReplacementPolicy"] == "Failed"
    assert spec["template"]["spec"]["restartPolicy"] == "Never"


def test_the_ray_cluster_is_what_kuberay_takes() -> None:
    cluster = manifest("--ray", "--workers", "8", "--secret", "team", "--cpus-per-worker", "2")
    jsonschema.validate(cluster, RAY_CLUSTER)
    spec = cluster["spec"]
    (group,) = spec["workerGroupSpecs"]
    for template in (spec["headGroupSpec"]["template"], group["template"]):
        check_template(template)
    assert spec["enableInTreeAutoscaling"] is True
    assert (group["minReplicas"], group["maxReplicas"]) == (0, 8)
    assert group["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1


def test_the_command_beside_the_ray_cluster_is_one_there_is() -> None:
    lines = launch("--ray", "--workers", "8", "--lease", "30s").out.splitlines()
    (line,) = (line for line in lines if "hpo launch ray" in line)
    words = line.removeprefix("#").split()
    assert words[:6] == ["hpo", "launch", "ray", "adult", "--workers", "8"]
    assert {"--detach", "30s"} <= set(words)
    answered = hpo(*words[1:], "--storage", "sqlite:///hpo.db")
    assert "SQLite serves the workers" in answered.err or "hpo launch ray needs Ray" in answered.err


def test_workers_without_a_gpu_ask_for_none() -> None:
    (container,) = manifest("--gpus-per-worker", "0")["spec"]["template"]["spec"]["containers"]
    assert "nvidia" not in json.dumps(container["resources"])
    assert container["command"][5:7] == ["--gpus", "none"]


@pytest.mark.parametrize("name", ["1e5", "y", "0o17"])
def test_names_are_quoted_that_kubectl_would_take_for_numbers(name: str) -> None:
    assert f"\n        - '{name}'\n" in hpo("launch", "kubernetes", name, "--image", "i").out


@pytest.mark.parametrize("name", ["Adult_1", "x" * 90, "a.b", "adult@confirm"])
def test_every_study_gets_a_name_of_its_own_that_kubernetes_takes(name: str) -> None:
    found = [
        yaml.safe_load(hpo("launch", "kubernetes", study, "--image", "i").out)["metadata"]["name"]
        for study in (name, f"{name}2")
    ]
    assert len(set(found)) == 2
    for text in found:
        jsonschema.validate(text, {"pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 41})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--storage", "sqlite:///hpo.db"],
            "SQLite serves the workers of one machine",
        ),
        (["--namespace", "ML"], "--namespace must be in lowercase letters, but got 'ML'"),
        (["--secret", "a b"], "--secret must be a name in lowercase letters, but got 'a b'"),
        (["--memory", "much"], "--memory must be a quantity such as 8Gi, but got 'much'"),
        (["--volume", "weights"], "--volume reads CLAIM:/FOLDER, but got 'weights'"),
        (["--slots", "0"], "--slots must be auto or a number from 1 to 1024"),
    ],
)
def test_what_would_not_work_is_refused(options: list[str], said: str) -> None:
    done = launch(*options)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


def test_a_folder_of_artifacts_is_to_be_mounted() -> None:
    assert "mount it with --volume" in launch("--artifacts", "/shared/hpo").err
    assert launch("--artifacts", "/shared/hpo", "--volume", "weights:/shared").err == ""
    assert launch("--artifacts", "s3://bucket/hpo").err == ""

"""Manifests for workers on Kubernetes: an Indexed Job, or an autoscaling Ray cluster.

The manifests refer to a Secret with the keys HPO_STORAGE and HPO_ARTIFACTS, and hold no URLs.

A Job acts on the exit code of a worker. 0: the study is finished. 75: the worker released its
trials, and its pod is replaced without counting as a failure. 2: the input is wrong, and the Job
fails. Any other code counts as a failure of the worker's index.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from hpo.config.errors import InputError
from hpo.worker.supervisor import EXIT_RELEASED

_BACKOFF_LIMIT = 10
"""Failures of one worker after which it is not replaced; the others continue."""
_GRACE_SECONDS = 60
"""Time between SIGTERM and the end of a pod; workers need up to 20 s to release their trials."""
_IDLE_SECONDS = 120
"""Time after which the Ray cluster removes an idle pod."""
_LABEL = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_QUANTITY = r"\d+(?:\.\d+)?(?:m|k|[KMGTPE]i?)?"
_MAX_NAME = 41
"""Of 63 characters; a Job's pods append their numbers, and KubeRay appends its suffixes."""

_NOTES = """\
# Workers of hpo for {studies}. They read the URLs of the storage and the artifacts from a Secret.
# Make it from a file with lines HPO_STORAGE=... and HPO_ARTIFACTS=..., which every pod must reach,
# and the credentials of an object store, for example AWS_ACCESS_KEY_ID=...:
#   kubectl create secret generic {secret}{namespace} --from-env-file=FILE
"""
_RAY_NOTES = """\
# A cluster for KubeRay (1.6 or newer); the image needs hpo[ray]. Start workers in it by
#   kubectl exec{namespace} service/{name}-head-svc -c head -- \\
#     {command}
"""

_Manifest = dict[str, Any]


class _QuotingDumper(yaml.SafeDumper):  # type: ignore[misc]
    """Quotes strings that other YAML parsers read as numbers or booleans, such as `1e5` and `y`."""


_QuotingDumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style=None if re.match(r"(--)?[A-Za-z]\w", text) else "'"
    ),
)


@dataclass(frozen=True, kw_only=True)
class Pods:
    """Pods with one worker each.

    Attributes:
        names: names of the studies.
        n_workers: maximum number of pods.
        image: container image with `hpo` on its PATH.
        gpus: GPUs of each worker.
        cpus: processor cores of each worker.
        memory: memory of each worker (`8Gi`).
        namespace: namespace; None for kubectl's default.
        secret: name of the Secret that holds HPO_STORAGE and HPO_ARTIFACTS.
        volumes: claim and mount path of each volume that holds artifacts.
        arguments: options of `hpo worker`.

    Raises:
        InputError: Kubernetes would refuse a value.
    """

    names: Sequence[str]
    n_workers: int
    image: str
    gpus: int
    cpus: int
    memory: str
    namespace: str | None
    secret: str
    volumes: Sequence[tuple[str, str]]
    arguments: Sequence[str]

    def __post_init__(self) -> None:
        """Check the values."""
        claims = [claim for claim, _ in self.volumes]
        for option, text in [("--secret", self.secret), *(("--volume", claim) for claim in claims)]:
            if not re.fullmatch(rf"{_LABEL}(?:\.{_LABEL})*", text) or len(text) > 253:
                raise InputError(f"{option} must be a name in lowercase letters, but got {text!r}")
        if self.namespace is not None and not re.fullmatch(_LABEL, self.namespace):
            raise InputError(
                f"--namespace must be in lowercase letters, but got {self.namespace!r}"
            )
        if not re.fullmatch(_QUANTITY, self.memory):
            raise InputError(f"--memory must be a quantity such as 8Gi, but got {self.memory!r}")
        if not re.fullmatch(r"[^\s'\"]+", self.image):
            raise InputError(f"--image must name a container image, but got {self.image!r}")

    @property
    def name(self) -> str:
        """The first study's name as a Kubernetes label; a digest replaces what does not fit."""
        plain = f"hpo-{self.names[0]}"
        label = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")
        if label == plain and len(label) <= _MAX_NAME:
            return label
        digest = hashlib.sha256(plain.encode()).hexdigest()[:6]
        return f"{label[: _MAX_NAME - 7].rstrip('-')}-{digest}"

    def job(self) -> str:
        """Return an Indexed Job as YAML."""
        template = self._template("worker", self.gpus)
        template["spec"]["automountServiceAccountToken"] = False
        command = ["hpo", "worker", *self.names, "--workers", "1"]
        command += ["--gpus", "auto" if self.gpus else "none", *self.arguments]
        template["spec"]["containers"][0]["command"] = command
        code = {"containerName": "worker", "operator": "In"}
        disruption = {"type": "DisruptionTarget", "status": "True"}
        spec = {
            "completionMode": "Indexed",
            "completions": self.n_workers,
            "parallelism": self.n_workers,
            "backoffLimitPerIndex": _BACKOFF_LIMIT,
            "podReplacementPolicy": "Failed",  # after the old pod has released its trials
            "podFailurePolicy": {
                "rules": [  # the first that matches applies
                    {"action": "FailJob", "onExitCodes": {**code, "values": [2]}},
                    {"action": "Ignore", "onExitCodes": {**code, "values": [EXIT_RELEASED]}},
                    {"action": "Ignore", "onPodConditions": [disruption]},
                ]
            },
            "template": template,
        }
        return self._to_yaml(_NOTES, "batch/v1", "Job", spec)

    def ray_cluster(self) -> str:
        """Return a KubeRay cluster that grows and shrinks with the demand, as YAML."""
        workers = {
            "groupName": "workers",
            "replicas": 0,
            "minReplicas": 0,
            "maxReplicas": self.n_workers,
            "rayStartParams": {"num-cpus": str(self.cpus)},
            "template": self._template("worker", self.gpus),
        }
        spec = {
            "authOptions": {"mode": "token"},
            "enableInTreeAutoscaling": True,
            "autoscalerOptions": {"upscalingMode": "Default", "idleTimeoutSeconds": _IDLE_SECONDS},
            "headGroupSpec": {
                "rayStartParams": {"num-cpus": "0"},  # the head runs no workers
                "template": self._template("head", 0),
            },
            "workerGroupSpecs": [workers],
        }
        return self._to_yaml(_NOTES + _RAY_NOTES, "ray.io/v1", "RayCluster", spec)

    def _template(self, container_name: str, gpus: int) -> _Manifest:
        """Return the template of a pod with one container."""
        requests = {"cpu": str(self.cpus), "memory": self.memory}
        gpu_limit = {"nvidia.com/gpu": gpus} if gpus else {}
        container: _Manifest = {
            "name": container_name,
            "image": self.image,
            "env": [  # in addition to envFrom: a pod without these keys does not start
                {"name": key, "valueFrom": {"secretKeyRef": {"name": self.secret, "key": key}}}
                for key in ("HPO_STORAGE", "HPO_ARTIFACTS")
            ],
            "envFrom": [{"secretRef": {"name": self.secret}}],
            "resources": {"requests": requests, "limits": {"memory": self.memory, **gpu_limit}},
        }
        spec: _Manifest = {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": _GRACE_SECONDS,
            "containers": [container],
        }
        if self.volumes:  # numbered: a claim's name may have dots, a volume's may not
            spec["volumes"] = [
                {"name": f"volume-{index}", "persistentVolumeClaim": {"claimName": claim}}
                for index, (claim, _) in enumerate(self.volumes)
            ]
            container["volumeMounts"] = [
                {"name": f"volume-{index}", "mountPath": path}
                for index, (_, path) in enumerate(self.volumes)
            ]
        return {"metadata": {"labels": self._labels()}, "spec": spec}

    def _labels(self) -> dict[str, str]:
        return {"app.kubernetes.io/name": "hpo", "app.kubernetes.io/instance": self.name}

    def _to_yaml(self, notes: str, api_version: str, kind: str, spec: _Manifest) -> str:
        """Return a manifest as YAML below its notes."""
        launch = ["hpo", "launch", "ray", *self.names, "--workers", str(self.n_workers)]
        launch += ["--gpus-per-worker", str(self.gpus), "--cpus-per-worker", str(self.cpus)]
        launch += [*self.arguments, "--detach"]
        comment = notes.format(
            studies=", ".join(self.names),
            name=self.name,
            secret=self.secret,
            namespace="" if self.namespace is None else f" --namespace {self.namespace}",
            command=" ".join(launch),
        )
        metadata: _Manifest = {"name": self.name, "labels": self._labels()}
        if self.namespace is not None:
            metadata["namespace"] = self.namespace
        manifest = {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}
        text: str = yaml.dump(manifest, Dumper=_QuotingDumper, sort_keys=False, width=100)
        return comment + text


def parse_volume(text: str) -> tuple[str, str]:
    """Parse CLAIM:/FOLDER into the volume's claim and its mount path.

    Raises:
        InputError: it has another form.
    """
    claim, colon, folder = text.partition(":")
    if not colon or not folder.startswith("/"):
        raise InputError(f"--volume reads CLAIM:/FOLDER, but got {text!r}")
    return claim, folder

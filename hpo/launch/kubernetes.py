"""Workers on Kubernetes, as manifests: an Indexed Job, or a Ray cluster that grows and shrinks.

The manifests name a Secret, and hold none: HPO_STORAGE and HPO_ARTIFACTS are its keys.

What becomes of a pod follows a worker's exit code: 0 the study is finished; 75 it handed its trials
back, and another takes its place at no charge; 2 the input was wrong, and would be for all;
anything else counts against its index.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from hpo.config.errors import InputError
from hpo.worker.supervisor import EXIT_RELEASED

BACKOFF_LIMIT = 10
"""Failures of one worker after which its place stays empty; the others go on."""
GRACE_SECONDS = 60
"""Between SIGTERM and the end of a pod; workers hand their trials back within 20."""
IDLE_SECONDS = 120
"""After which the Ray cluster gives an idle pod back."""
LABEL = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
QUANTITY = r"\d+(?:\.\d+)?(?:m|k|[KMGTPE]i?)?"
LONGEST_NAME = 41
"""Of 63 letters, what a Job's pods leave beside their numbers, and KubeRay beside its suffixes."""

Manifest = dict[str, Any]


class Quoting(yaml.SafeDumper):  # type: ignore[misc]
    """Quotes what other readers of YAML take for a number or a truth, such as `1e5` and `y`."""


Quoting.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style=None if re.match(r"(--)?[A-Za-z]\w", text) else "'"
    ),
)

NOTES = """\
# Workers of hpo for {studies}. They read the storage's and the artifacts' URLs from a Secret, made
# from a file of lines, HPO_STORAGE=... and HPO_ARTIFACTS=..., which every pod must reach, and what
# an object store wants, such as AWS_ACCESS_KEY_ID=...:
#   kubectl create secret generic {secret}{namespace} --from-env-file=FILE
"""
RAY_NOTES = """\
# A cluster for KubeRay (1.6 or newer); the image needs hpo[ray]. Workers are started in it by
#   kubectl exec{namespace} service/{name}-head-svc -c head -- \\
#     {command}
"""


@dataclass(frozen=True, kw_only=True)
class Pods:
    """Pods of workers, one in each.

    Attributes:
        names: the studies.
        n_workers: pods at most.
        image: a container image with `hpo` on its PATH.
        gpus: of each worker.
        cpus: processor cores of each worker.
        memory: of each worker, such as `8Gi`.
        namespace: None leaves it to kubectl.
        secret: the Secret that holds HPO_STORAGE and HPO_ARTIFACTS.
        volumes: claim and folder of each volume that holds artifacts.
        arguments: options of `hpo worker`.
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
        """Refuse what Kubernetes would, while it is still clear what was typed."""
        claims = [claim for claim, _ in self.volumes]
        for option, text in [("--secret", self.secret), *(("--volume", claim) for claim in claims)]:
            if not re.fullmatch(rf"{LABEL}(?:\.{LABEL})*", text) or len(text) > 253:
                raise InputError(f"{option} must be a name of small letters, but got {text!r}")
        if self.namespace is not None and not re.fullmatch(LABEL, self.namespace):
            raise InputError(f"--namespace must be of small letters, but got {self.namespace!r}")
        if not re.fullmatch(QUANTITY, self.memory):
            raise InputError(f"--memory must be a quantity such as 8Gi, but got {self.memory!r}")
        if not re.fullmatch(r"[^\s'\"]+", self.image):
            raise InputError(f"--image must name a container image, but got {self.image!r}")

    @property
    def name(self) -> str:
        """The first study's name as Kubernetes takes names; a digest stands for what it lost."""
        plain = f"hpo-{self.names[0]}"
        label = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")
        if label == plain and len(label) <= LONGEST_NAME:
            return label
        digest = hashlib.sha256(plain.encode()).hexdigest()[:6]
        return f"{label[: LONGEST_NAME - 7].rstrip('-')}-{digest}"

    def job(self) -> str:
        """An Indexed Job, as YAML."""
        worker = ["hpo", "worker", *self.names, "--workers", "1"]
        worker += ["--gpus", "auto" if self.gpus else "none", *self.arguments]
        container = self._container("worker", self._resources(self.gpus))
        container["command"] = worker
        template = self._template(container)
        template["spec"]["automountServiceAccountToken"] = False
        return self._printed(
            NOTES,
            {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "metadata": self._metadata(),
                "spec": {
                    "completionMode": "Indexed",
                    "completions": self.n_workers,
                    "parallelism": self.n_workers,
                    "backoffLimitPerIndex": BACKOFF_LIMIT,
                    "podReplacementPolicy": "Failed",  # not while the old one hands its trials back
                    "podFailurePolicy": {"rules": _failure_rules()},
                    "template": template,
                },
            },
        )

    def ray_cluster(self) -> str:
        """A KubeRay cluster whose workers come and go with the demand, as YAML."""
        head = self._container("head", self._resources(0))
        worker = self._container("worker", self._resources(self.gpus))
        return self._printed(
            NOTES + RAY_NOTES,
            {
                "apiVersion": "ray.io/v1",
                "kind": "RayCluster",
                "metadata": self._metadata(),
                "spec": {
                    "authOptions": {"mode": "token"},
                    "enableInTreeAutoscaling": True,
                    "autoscalerOptions": {
                        "upscalingMode": "Default",
                        "idleTimeoutSeconds": IDLE_SECONDS,
                    },
                    "headGroupSpec": {
                        "rayStartParams": {"num-cpus": "0"},  # workers go elsewhere
                        "template": self._template(head),
                    },
                    "workerGroupSpecs": [
                        {
                            "groupName": "workers",
                            "replicas": 0,
                            "minReplicas": 0,
                            "maxReplicas": self.n_workers,
                            "rayStartParams": {"num-cpus": str(self.cpus)},
                            "template": self._template(worker),
                        }
                    ],
                },
            },
        )

    def _printed(self, notes: str, manifest: Manifest) -> str:
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
        text: str = yaml.dump(manifest, Dumper=Quoting, sort_keys=False, width=100)
        return comment + text

    def _metadata(self) -> Manifest:
        metadata: Manifest = {"name": self.name, "labels": self._labels()}
        if self.namespace is not None:
            metadata["namespace"] = self.namespace
        return metadata

    def _labels(self) -> dict[str, str]:
        return {"app.kubernetes.io/name": "hpo", "app.kubernetes.io/instance": self.name}

    def _template(self, container: Manifest) -> Manifest:
        spec: Manifest = {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": GRACE_SECONDS,
            "containers": [container],
        }
        if self.volumes:
            spec["volumes"] = [
                {"name": name, "persistentVolumeClaim": {"claimName": claim}}
                for name, (claim, _) in self._named_volumes()
            ]
        return {"metadata": {"labels": self._labels()}, "spec": spec}

    def _container(self, name: str, resources: Manifest) -> Manifest:
        container: Manifest = {
            "name": name,
            "image": self.image,
            "env": [self._secret("HPO_STORAGE"), self._secret("HPO_ARTIFACTS")],
            "envFrom": [{"secretRef": {"name": self.secret}}],
            "resources": resources,
        }
        if self.volumes:
            container["volumeMounts"] = [
                {"name": name, "mountPath": folder} for name, (_, folder) in self._named_volumes()
            ]
        return container

    def _named_volumes(self) -> list[tuple[str, tuple[str, str]]]:
        """By numbers: a claim's own name may have dots, which a volume's has not."""
        return [(f"volume-{index}", volume) for index, volume in enumerate(self.volumes)]

    def _secret(self, name: str) -> Manifest:
        reference = {"name": self.secret, "key": name}
        return {"name": name, "valueFrom": {"secretKeyRef": reference}}

    def _resources(self, gpus: int) -> Manifest:
        """Of memory no more than was asked for; of processors what is free."""
        limits: Manifest = {"memory": self.memory}
        if gpus:
            limits["nvidia.com/gpu"] = gpus
        return {"requests": {"cpu": str(self.cpus), "memory": self.memory}, "limits": limits}


def parse_volume(text: str) -> tuple[str, str]:
    """A volume's claim and the folder it is mounted at, of `CLAIM:/FOLDER`.

    Raises:
        InputError: it reads otherwise.
    """
    claim, colon, folder = text.partition(":")
    if not colon or not folder.startswith("/"):
        raise InputError(f"--volume reads CLAIM:/FOLDER, but got {text!r}")
    return claim, folder


def _failure_rules() -> list[Manifest]:
    """The first that fits counts."""
    ours = {"containerName": "worker", "operator": "In"}
    return [
        {"action": "FailJob", "onExitCodes": {**ours, "values": [2]}},
        {"action": "Ignore", "onExitCodes": {**ours, "values": [EXIT_RELEASED]}},
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
    ]

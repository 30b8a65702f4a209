"""Installed packages that add model families or metrics, and families of these tests."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from hpo.config.families import ModelConfig
from hpo.training.families.module import ModuleFamily


def install(
    site: Path,
    package: str,
    points: dict[str, str],
    group: str = "hpo.families",
    **modules: str,
) -> None:
    """Install a package in a folder of the import path.

    Args:
        site: the folder.
        package: the package's name.
        points: its entry points.
        group: theirs.
        modules: text of its modules, by name.
    """
    info = site / f"{package.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = "".join(f"{name} = {value}\n" for name, value in points.items())
    (info / "entry_points.txt").write_text(f"[{group}]\n{lines}")
    for name, text in modules.items():
        (site / f"{name}.py").write_text(text)


@dataclass(frozen=True, kw_only=True)
class StrangeConfig(ModelConfig):
    """A network with state and randomness of its own; `fault` breaks it."""

    family: Literal["strange"] = "strange"
    heads: int = 0
    fault: Literal["", "build", "shape", "raise", "nan", "rows"] = ""


class Strange(nn.Module):
    def __init__(self, config: StrangeConfig, n_inputs: int, n_outputs: int) -> None:
        super().__init__()
        if config.fault == "build":
            raise ValueError("no such network")
        self.config = config
        n_heads = max(config.heads, 1)
        self.hidden = nn.Sequential(nn.Linear(n_inputs, 16), nn.BatchNorm1d(16), nn.Dropout(0.2))
        self.output = nn.Linear(16, n_heads * (n_outputs + (config.fault == "shape")))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training and self.config.fault == "raise":
            raise RuntimeError("no such step")
        noise = 0.1 * torch.randn_like(x) if self.training else 0.0
        outputs: torch.Tensor = self.output(self.hidden(x + noise).relu())
        if self.config.fault == "nan":
            outputs = outputs * float("nan")
        if self.config.fault == "rows" and self.training:
            outputs = outputs[:-1]
        return outputs.unflatten(1, (self.config.heads, -1)) if self.config.heads else outputs


class StrangeFamily(ModuleFamily[StrangeConfig]):
    def network(self, config: StrangeConfig, n_inputs: int, n_outputs: int) -> nn.Module:
        return Strange(config, n_inputs, n_outputs)


FAMILY = StrangeFamily()

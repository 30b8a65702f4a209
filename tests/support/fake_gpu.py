"""A fake GPU: CUDA tensors with shapes and types, but without data.

torch's `FakeTensorMode` runs code on `cuda` tensors, refuses to mix devices or to combine shapes
that do not fit, and raises where a value is read. It needs a CUDA build of torch, but no driver.
It has no streams, graphs or compiled kernels and computes no numbers. Stand-ins answer what torch
would ask the driver.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    FakeTensorMode,
    unset_fake_temporarily,
)
from torch.optim import sgd

from hpo.training.packs.program import StepFunctions

GPU = torch.device("cuda", 0)
MEMORY_BYTES = 2**36

needs_cuda_build = pytest.mark.skipif(
    torch.version.cuda is None, reason="needs a CUDA build of torch: scripts/test-cuda"
)

ValueIsRead = DataDependentOutputException
"""Raised where the host reads a value from the GPU."""


class EagerProgram:
    """Runs a pack's step function by function: a fake GPU has no streams and graphs."""

    def __init__(self, device: torch.device) -> None:
        self.functions = StepFunctions()

    def on_stream(self) -> AbstractContextManager[None]:
        return nullcontext()

    def join(self) -> None: ...

    def rehearse(self, step: Callable[[], None]) -> None:
        step()

    def run(self, step: Callable[[], None]) -> None:
        step()


class FakeGpu:
    """Converts real tensors to fake ones.

    Attributes:
        mode: of torch.
    """

    def __init__(self) -> None:
        self.mode = FakeTensorMode(allow_non_fake_inputs=True)

    def fake(self, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Fake tensors on the host, as a checkpoint holds real ones."""
        return {name: self.mode.from_tensor(tensor) for name, tensor in tensors.items()}

    def moved(self, module: nn.Module, *to: Any) -> nn.Module:
        """`nn.Module.to`, whose way of replacing parameters fails for fake tensors."""
        for part in module.modules():
            for name, parameter in part._parameters.items():
                if parameter is not None and not parameter.is_meta:
                    moved = self.mode.from_tensor(parameter.detach()).to(*to)
                    part._parameters[name] = nn.Parameter(moved)
            for name, buffer in part._buffers.items():
                if buffer is not None:
                    moved = self.mode.from_tensor(buffer)
                    part._buffers[name] = (
                        moved.to(*to) if moved.is_floating_point() else moved.to(to[0])
                    )
        return module


@contextmanager
def fake_gpu() -> Iterator[FakeGpu]:
    """Make tensors without data; those on `GPU` behave as on a GPU of compute capability 9.0."""
    gpu = FakeGpu()

    def without_kernel(*tensors: Any, fused: bool, **rates: Any) -> None:
        sgd.sgd(*tensors, foreach=False, **rates)  # the fused kernel has no fake

    def constant(schedule: Any, steps: torch.Tensor) -> Any:
        """Learning-rate factors, which the host computes."""
        return SimpleNamespace(tolist=lambda: [1.0] * len(steps))

    answers: dict[str, Callable[..., Any]] = {
        "torch.cuda.mem_get_info": lambda device=None: (MEMORY_BYTES, MEMORY_BYTES),
        "torch.cuda.get_device_capability": lambda device=None: (9, 0),
        "torch.cuda.get_device_name": lambda device=None: "fake GPU",
        "torch.cuda.synchronize": lambda device=None: None,
        "torch.cuda.empty_cache": lambda: None,
        "torch.nn.Module.to": lambda module, *to: gpu.moved(module, *to),
        "hpo.training.packs.pack.Program": EagerProgram,
        "hpo.training.optimizers.sgd": without_kernel,
        "hpo.training.single.rate_factors": constant,
        "hpo.training.families.autograd.random_state": lambda *counters: nullcontext(),
    }
    with ExitStack() as stack:
        for name, answer in answers.items():
            stack.enter_context(patch(name, answer))
        stack.enter_context(gpu.mode)
        yield gpu


def on_the_host(made: Callable[[], Any]) -> Any:
    """Call a function whose tensors hold data, as the product computes on the host."""
    with unset_fake_temporarily():
        return made()

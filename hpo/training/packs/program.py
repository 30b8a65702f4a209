"""Runs a pack's step on a device: as one CUDA graph, or function by function.

On a GPU the elementwise parts of update and dropout are compiled to one or two kernels each, and
the whole step is captured once as a CUDA graph and replayed, so that hundreds of kernels cost one
launch. If compilation or capture fails, a warning is logged and the same functions run one by one.
They always do on a CPU, where launches cost nothing.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import cache
from typing import Any, ClassVar, NamedTuple

import torch

from hpo.config.errors import first_line
from hpo.training.memory import free_memory, is_out_of_memory
from hpo.training.packs.update import scales, update
from hpo.training.random import PackedMasks, apply_dropout

log = logging.getLogger(__name__)


class StepFunctions(NamedTuple):
    """The elementwise functions of a step, compiled or not.

    Attributes:
        update: from `hpo.training.packs.update`, as is `scales`.
        apply_dropout: from `hpo.training.random`, as is `keys` of `PackedMasks`.
    """

    update: Callable[..., Any] = update
    scales: Callable[..., Any] = scales
    apply_dropout: Callable[..., Any] = apply_dropout
    keys: Callable[..., Any] = PackedMasks.keys


class Program:
    """Runs a pack's step.

    Attributes:
        functions: of the step, compiled if possible.
        can_compile: False once the compiler has failed in this process.
        can_record: False once a capture has failed for another reason than lack of memory.
    """

    can_compile: ClassVar[bool] = True
    can_record: ClassVar[bool] = True

    def __init__(self, device: torch.device) -> None:
        """Prepare a stream and compiled functions on a GPU."""
        self.functions = StepFunctions()
        self._graph: torch.cuda.CUDAGraph | None = None
        self._stream: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            self._stream.wait_stream(torch.cuda.current_stream(device))
            if self.can_compile:
                self.functions = _compiled()

    def on_stream(self) -> AbstractContextManager[Any]:
        """The pack's stream: several packs share a GPU, each on its own stream."""
        return torch.cuda.stream(self._stream) if self._stream else nullcontext()

    def join(self) -> None:
        """Make the current stream wait for the work on the pack's stream."""
        if self._stream:
            torch.cuda.current_stream(self._stream.device).wait_stream(self._stream)

    def rehearse(self, step: Callable[[], None]) -> None:
        """Make a step once, and capture it if the device can.

        Args:
            step: works on fixed tensors and does not read their values.

        Raises:
            RuntimeError: there is too little memory.
        """
        if self._stream is None:
            step()
            return
        self._warm_up(step)
        for is_last in (False, True) if self.can_record else ():
            try:
                self._graph = _recorded(step)
                return
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    log.warning("packs train without a CUDA graph: %s", first_line(error))
                    Program.can_record = False
                    return
                if is_last:
                    raise
            # During a capture the allocator frees nothing of its cache.
            free_memory(self._stream.device)

    def _warm_up(self, step: Callable[[], None]) -> None:
        """Make a step before it is captured: libraries load, and kernels are compiled.

        Compilers fail in many ways: no Triton, no C compiler, no writable directory.
        """
        try:
            with _for_any_size():
                step()
            return
        except Exception as error:
            if self.functions == StepFunctions() or is_out_of_memory(error):
                raise
            cause = getattr(
                error, "inner_exception", error
            )  # the first line of `error` names only the backend
            log.warning("packs train without compiled kernels: %s", first_line(cause))
        Program.can_compile = False
        self.functions = StepFunctions()
        step()

    def run(self, step: Callable[[], None]) -> None:
        """Make the rehearsed step. It is an argument, since it refers to the pack."""
        if self._graph:
            self._graph.replay()
        else:
            step()


@cache
def _compiled() -> StepFunctions:
    """The functions compiled for packs of any size."""
    return StepFunctions(*[torch.compile(part, dynamic=True) for part in StepFunctions()])


@contextmanager
def _for_any_size() -> Iterator[None]:
    """Configure the compiler for sizes that vary independently.

    Every pack has its own sizes, and after 8 variants of a function, by default, the compiler gives
    up on it. Floats, such as an optimizer's epsilon, are constants: as variables they would become
    CPU tensors that a kernel on the GPU cannot read. One compile thread is enough for two small
    kernels; by default each worker starts a process per core, up to 32.
    """
    from torch._dynamo import config
    from torch._inductor import config as inductor
    from torch.fx.experimental import _config as shapes

    with (
        config.patch(recompile_limit=64, specialize_float=True),
        shapes.patch(use_duck_shape=False),  # type: ignore[attr-defined]
        inductor.patch(compile_threads=1),
    ):
        yield


def _recorded(step: Callable[[], None]) -> torch.cuda.CUDAGraph:
    """Capture a step as a CUDA graph on the current stream."""
    graph, pool = torch.cuda.CUDAGraph(), torch.cuda.graph_pool_handle()
    torch.cuda.synchronize()
    # Other threads may use the device meanwhile. `torch.cuda.graph` would also collect garbage and
    # empty the allocator's cache each time.
    graph.capture_begin(pool, capture_error_mode="thread_local")
    try:
        step()
    except BaseException:
        with suppress(RuntimeError):  # only a consequence of the first error
            _end(graph, pool)
        raise
    _end(graph, pool)
    return graph


def _end(graph: torch.cuda.CUDAGraph, pool: Any) -> None:
    """End a capture.

    When CUDA has aborted the capture, torch leaves the allocator in capture mode, and the next
    `empty_cache` would raise.
    """
    try:
        graph.capture_end()
    except RuntimeError:
        with suppress(RuntimeError):  # the capture has ended after all
            torch._C._cuda_endAllocateToPool(torch.cuda.current_device(), pool)
            torch._C._cuda_releasePool(torch.cuda.current_device(), pool)
        raise

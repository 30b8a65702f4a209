"""How a device runs a pack's step: recorded as one CUDA graph, or function by function.

On a GPU the elementwise parts of update and dropout are compiled into a kernel or two each, and the
whole step is recorded once and replayed, so that hundreds of kernels cost one launch. Where the
compiler or the recording fails, the same functions run one by one, and a warning says so. A
processor always runs them so: launches cost it nothing.
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
from hpo.training.random import PackedMasks, dropped

log = logging.getLogger(__name__)


class Parts(NamedTuple):
    """The elementwise parts of a step, as they are or compiled.

    Attributes:
        update: of `hpo.training.packs.update`; `scales` alike.
        dropped: of `hpo.training.random`; `keys` is that of `PackedMasks`.
    """

    update: Callable[..., Any] = update
    scales: Callable[..., Any] = scales
    dropped: Callable[..., Any] = dropped
    keys: Callable[..., Any] = PackedMasks.keys


class Program:
    """Runs a pack's step.

    Attributes:
        parts: of it, compiled where that is possible.
        can_compile: False once the compiler has failed in this process.
        can_record: likewise a recording, for another reason than lack of memory.
    """

    can_compile: ClassVar[bool] = True
    can_record: ClassVar[bool] = True

    def __init__(self, device: torch.device) -> None:
        """Choose how to run on a device."""
        self.parts = Parts()
        self._graph: torch.cuda.CUDAGraph | None = None
        self._stream: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            self._stream.wait_stream(torch.cuda.current_stream(device))
            if self.can_compile:
                self.parts = _compiled()

    def on_stream(self) -> AbstractContextManager[Any]:
        """Where all of the pack's work goes: several packs share a GPU, each on its stream."""
        return torch.cuda.stream(self._stream) if self._stream else nullcontext()

    def join(self) -> None:
        """Let other work wait for what was begun here, such as reading memory that is given up."""
        if self._stream:
            torch.cuda.current_stream(self._stream.device).wait_stream(self._stream)

    def rehearse(self, step: Callable[[], None]) -> None:
        """Make a step once, and record it where the device can.

        Args:
            step: works on fixed tensors, without a look at their values.

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
            # During a recording the allocator gives back nothing of what it keeps in store.
            free_memory(self._stream.device)

    def _warm_up(self, step: Callable[[], None]) -> None:
        """Make a step as it will be recorded: libraries load, and kernels are compiled.

        Compilers fail in many ways: no Triton, no C compiler, no place for what they write.
        """
        try:
            with _for_any_size():
                step()
            return
        except Exception as error:
            if self.parts == Parts() or is_out_of_memory(error):
                raise
            cause = getattr(error, "inner_exception", error)  # its own first line says nothing
            log.warning("packs train without compiled kernels: %s", first_line(cause))
        Program.can_compile = False
        self.parts = Parts()
        step()

    def run(self, step: Callable[[], None]) -> None:
        """Make the step that was rehearsed; it refers to the pack, so that it is not kept here."""
        if self._graph:
            self._graph.replay()
        else:
            step()


@cache
def _compiled() -> Parts:
    """For packs of any size."""
    return Parts(*[torch.compile(part, dynamic=True) for part in Parts()])


@contextmanager
def _for_any_size() -> Iterator[None]:
    """Compile so that sizes may differ later that happen to be equal now.

    Every pack has sizes of its own, and after some variants of a function, 8 by default, the
    compiler gives up on it. A constant such as an optimizer's epsilon never differs: taken for a
    variable it would be a tensor on the processor, given to a kernel that runs elsewhere. The
    compiler's own processes, one for each core up to 32 in every worker, would be many for two
    small kernels.
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
    """A step as one graph on the current stream."""
    graph, pool = torch.cuda.CUDAGraph(), torch.cuda.graph_pool_handle()
    torch.cuda.synchronize()
    # Other threads of the process may use the device meanwhile; `torch.cuda.graph` would collect
    # garbage and empty the allocator's cache each time besides.
    graph.capture_begin(pool, capture_error_mode="thread_local")
    try:
        step()
    except BaseException:
        with suppress(RuntimeError):  # a consequence, which says nothing
            _end(graph, pool)
        raise
    _end(graph, pool)
    return graph


def _end(graph: torch.cuda.CUDAGraph, pool: Any) -> None:
    """End a recording.

    One that CUDA has broken off torch leaves half open: the allocator would take itself to be in a
    recording for ever, and the next `empty_cache` would raise.
    """
    try:
        graph.capture_end()
    except RuntimeError:
        with suppress(RuntimeError):  # it was ended after all
            torch._C._cuda_endAllocateToPool(torch.cuda.current_device(), pool)
            torch._C._cuda_releasePool(torch.cuda.current_device(), pool)
        raise

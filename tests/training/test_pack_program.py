"""What a device runs a pack's step by, where recording or compiling fails; without a GPU."""

import logging
from types import SimpleNamespace

import pytest
import torch

from hpo.training import memory
from hpo.training.packs import program as pack_program
from hpo.training.packs.program import Program, StepFunctions
from hpo.training.packs.update import Coefficients
from hpo.training.random import PackedMasks
from hpo.training.schedules import Schedule

META = torch.device("meta")
REFUSED = "CUDA error: operation not permitted when stream is capturing"


class Graph:
    """A CUDA graph whose recording goes as it is told."""

    def __init__(self, *, ends: bool) -> None:
        self.ends = ends
        self.pools: list[object] = []

    def capture_begin(self, pool: object, capture_error_mode: str) -> None:
        self.pools.append(pool)

    def capture_end(self) -> None:
        if not self.ends:
            raise RuntimeError("CUDA error: operation failed due to a previous error")


@pytest.fixture
def program(monkeypatch):
    """As on a GPU that nothing was tried on yet."""
    monkeypatch.setattr(Program, "can_record", True)
    monkeypatch.setattr(Program, "can_compile", True)
    made = Program(torch.device("cpu"))
    made._stream = SimpleNamespace(device=torch.device("cpu"))
    made.functions = StepFunctions(*[lambda: None] * 4)
    return made


@pytest.fixture
def given_back(monkeypatch):
    """The pools that the allocator is told to be done with."""
    found: list[object] = []
    cuda = {
        "synchronize": lambda: None,
        "graph_pool_handle": lambda: (0, 7),
        "current_device": lambda: 0,
    }
    for name, fake in cuda.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    for name in ("_cuda_endAllocateToPool", "_cuda_releasePool"):
        monkeypatch.setattr(torch._C, name, lambda *pool: found.append(pool), raising=False)
    return found


def refuse() -> None:
    raise RuntimeError(REFUSED)


@pytest.mark.parametrize("step", [refuse, lambda: None])
def test_a_recording_that_is_broken_off_leaves_the_allocator_as_it_was(
    monkeypatch, given_back, step
):
    graph = Graph(ends=False)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: graph)
    expected = REFUSED if step is refuse else "previous error"
    with pytest.raises(RuntimeError, match=expected):
        pack_program._recorded(step)
    assert graph.pools == [(0, 7)]
    assert given_back == [(0, (0, 7))] * 2


@pytest.mark.parametrize("step", [refuse, lambda: None])
def test_a_recording_that_ends_is_torchs_own_affair(monkeypatch, given_back, step):
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: Graph(ends=True))
    if step is refuse:
        with pytest.raises(RuntimeError, match=REFUSED):
            pack_program._recorded(step)
    else:
        pack_program._recorded(step)
    assert given_back == []


def test_where_recording_fails_it_is_said_and_tried_once(program, monkeypatch, caplog):
    tried, made = [], []
    monkeypatch.setattr(pack_program, "_recorded", lambda step: (tried.append(1), refuse()))
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            program.rehearse(lambda: made.append(1))
    program.run(lambda: made.append(1))
    assert (len(tried), len(made)) == (1, 4)
    assert caplog.messages == [f"packs train without a CUDA graph: {REFUSED}"]


@pytest.mark.slow
def test_lack_of_memory_is_no_reason_to_record_no_more(program, monkeypatch, caplog):
    def fail(step):
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(pack_program, "_recorded", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        program.rehearse(lambda: None)
    assert Program.can_record
    assert not caplog.messages


class CompilerError(RuntimeError):
    """As torch says it: the first line names the compiler alone."""

    inner_exception = RuntimeError("Failed to find C compiler")


@pytest.mark.parametrize(
    "error", [CompilerError("backend='inductor' raised:"), OSError("Failed to find C compiler")]
)
def test_whatever_fails_in_compiling_the_step_is_made_without(program, monkeypatch, caplog, error):
    monkeypatch.setattr(pack_program, "_recorded", lambda step: None)
    compiled = program.functions

    def step():
        if program.functions is compiled:
            raise error

    with caplog.at_level(logging.WARNING):
        program.rehearse(step)
    assert caplog.messages == ["packs train without compiled kernels: Failed to find C compiler"]
    assert program.functions == StepFunctions()
    assert not Program.can_compile


def test_a_worker_compiles_in_its_own_process(program):
    from torch._inductor import config
    from torch._inductor.async_compile import get_compile_threads

    seen = []
    with config.patch(compile_threads=8):
        program._warm_up(lambda: seen.append(get_compile_threads()))
        assert get_compile_threads() == 8
    assert seen == [1]


def test_an_error_of_the_step_itself_is_raised(program):
    program.functions = StepFunctions()
    with pytest.raises(RuntimeError, match="capturing"):
        program.rehearse(refuse)
    assert Program.can_compile


@pytest.mark.parametrize(("n_free", "n_times"), [(30, 0), (20, 1)])
def test_memory_is_given_back_where_others_would_find_little(monkeypatch, n_free, n_times):
    emptied = []
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (n_free, 100))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(1))
    memory.leave_room(torch.device("cuda"))
    memory.leave_room(torch.device("cpu"))
    assert len(emptied) == n_times


@pytest.mark.slow
def test_kernels_take_nothing_from_the_processor_and_serve_packs_of_any_size():
    given = []

    def backend(module, examples):
        given.append(examples)
        return module.forward

    functions = StepFunctions(
        *[torch.compile(part, dynamic=True, backend=backend) for part in StepFunctions()]
    )
    for n_slots, width in [(3, 24), (5, 40)]:
        masks = PackedMasks.of(range(n_slots), [0.1] * n_slots, width, torch.float32, META)
        steps = torch.zeros(n_slots, dtype=torch.int64, device=META)
        column = torch.zeros(n_slots, 1, device=META)
        coefficients, exact = (
            Coefficients(*[each] * len(Coefficients._fields)) for each in (column, column.double())
        )
        schedules = Schedule(*[column.double()] * len(Schedule._fields))
        values = torch.zeros(n_slots, width + 1, device=META)
        buffers = values, values.bfloat16(), values.bfloat16(), values + 1, values + 2, values[0]
        with torch.no_grad(), pack_program._for_any_size():
            keys = functions.keys(masks, steps, n_slots, width)
            functions.apply_dropout(torch.zeros(n_slots, width, width, device=META), keys[0], masks)
            scales = functions.scales(column, steps, coefficients, exact, schedules)
            functions.update(*buffers, scales, coefficients)
    assert len(given) == len(functions)
    tensors = [x for examples in given for x in examples if isinstance(x, torch.Tensor)]
    assert {tensor.device for tensor in tensors} == {META}

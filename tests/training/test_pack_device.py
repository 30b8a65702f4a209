"""A pack works on its device alone: no step, and no end of an epoch, waits for a value.

The meta device has shapes but no values: what would read one, or mix its tensors with those of the
processor, raises. So a step can be recorded as a CUDA graph, which is tested where there is a GPU.
"""

from typing import Any, get_args

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hpo.config.trial import Precision, Task
from hpo.training.packs.pack import Pack
from hpo.training.packs.run import PackedRun
from hpo.training.packs.trainer import PackedTrainer
from hpo.training.trainer import Finished, Run
from tests.support.training import mixed_configs, pack_key, toy_config, toy_data

META = torch.device("meta")


class Devices(TorchDispatchMode):
    """Notes the devices of all tensors that operations take and give."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        tensors = [x for x in tree_leaves((args, kwargs, out)) if isinstance(x, torch.Tensor)]
        self.seen |= {tensor.device.type for tensor in tensors}
        return out


def make_pack(task: Task, precision: Precision) -> Pack:
    data, configs = toy_data(task), mixed_configs(task, precision)
    key = pack_key(configs[0], data, META)
    runs = [Run(key=n, config=config, data=data) for n, config in enumerate(configs)]
    pack = Pack(key, [PackedRun.of(run, None, META) for run in runs])
    for slot, member in enumerate(pack.members):
        pack.enter(slot, pack.flat(slot, member.tensors()))
    pack.begin()
    return pack


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("task", get_args(Task))
def test_the_host_waits_only_to_read_what_was_measured(task: Task, precision: Precision) -> None:
    pack = make_pack(task, precision)
    for _ in range(12):  # two epochs and more
        pack.step()
    with pytest.raises(NotImplementedError, match="no data"):
        pack.read()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_step_takes_nothing_from_the_host(precision: Precision) -> None:
    pack = make_pack("regression", precision)
    with Devices() as devices:
        pack.step()
    assert devices.seen == {"meta"}


def test_data_larger_than_the_device_are_streamed_and_train_in_turn(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    small, large = toy_data(), toy_data(n_rows=700)
    monkeypatch.setattr("hpo.training.batches._all_bytes", lambda device: 1.7 * small.n_bytes)
    trainer = PackedTrainer("cpu", 4)
    for key, data in enumerate((small, large, large)):
        assert trainer.admit(Run(key=key, config=toy_config(max_epochs=2), data=data))
    ended = set()
    while len(ended) < 3:
        ended |= {e.key for e in trainer.advance(0.1) if isinstance(e, Finished)}
    assert ended == {0, 1, 2}
    (warning,) = (record.getMessage() for record in caplog.records)
    assert "is too large to stay on cpu: its rows are streamed" in warning

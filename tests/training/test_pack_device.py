"""A pack works on its device alone: no step, and no end of an epoch, waits for a value.

The meta device has shapes but no values: what would read one, or mix its tensors with those of the
processor, raises. So a step can be recorded as a CUDA graph, which is tested where there is a GPU.
"""

from typing import Any, get_args

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hpo.config.trial import Activation, OptimizerName, Precision, Task
from hpo.training.batches import BatchLoader
from hpo.training.families.family import family_of
from hpo.training.losses import loss_gradient
from hpo.training.packs.pack import Pack, PackKey
from hpo.training.packs.run import PackedRun
from hpo.training.trainer import Run
from tests.support.training import toy_config, toy_data

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
    data, activations = toy_data(task), get_args(Activation)
    configs = [
        toy_config(
            task,
            model={
                "depth": 1 + index % 5,
                "width": 5 + index,
                "activation": activations[index % len(activations)],
                "dropout": [0.0, 0.1, 0.3][index % 3],
            },
            optimizer={"name": name, "momentum": 0.9, "weight_decay": 0.1, "l1": 1e-3},
            gradient_clip=0.3 * (index % 2),
            precision=precision,
        )
        for index, name in enumerate(get_args(OptimizerName) * 2)
    ]
    key = PackKey(
        loader=BatchLoader(data, META),
        batch_size=64,
        gradient=loss_gradient(configs[0].training.loss, task),
        metric=configs[0].objective.metric,
        precision=precision,
        family=(family := family_of(configs[0].model)),
        size=family.pack_key(configs[0].model),
    )
    runs = [Run(key=key, config=config, data=data) for key, config in enumerate(configs)]
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

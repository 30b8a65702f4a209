"""Both engines on a fake GPU: no mixed devices, no value read within a step.

`scripts/test-cuda` runs these tests with a CUDA build of torch.
"""

from dataclasses import replace
from itertools import product
from typing import Any, get_args

import pytest
import torch

from hpo.config.trial import (
    Activation,
    ObjectiveConfig,
    OptimizerName,
    Precision,
    Task,
    TrialConfig,
)
from hpo.training.batches import BatchLoader, TrainingData
from hpo.training.families.tabm import TabMConfig
from hpo.training.inputs import Inputs
from hpo.training.losses import GRADIENTS
from hpo.training.metrics import measure
from hpo.training.packs.pack import Pack
from hpo.training.packs.run import PackedRun
from hpo.training.precision import resolve_precision
from hpo.training.random import permutation
from hpo.training.scores import SCORES
from hpo.training.single import _Session
from hpo.training.trainer import Run
from tests.support.fake_gpu import (
    GPU,
    FakeGpu,
    ValueIsRead,
    fake_gpu,
    needs_cuda_build,
    on_the_host,
)
from tests.support.training import OBJECTIVES, mixed_configs, pack_key, toy_config, toy_data

pytestmark = needs_cuda_build

PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "float64")
TASKS: tuple[Task, ...] = get_args(Task)


def known_data(task: Task) -> TrainingData:
    """Data whose mean and deviation the host has computed."""
    data = toy_data(task)
    assert data.scale().std > 0
    assert isinstance(data.scale().mean, float)
    return data


def session(config: TrialConfig, data: TrainingData) -> _Session:
    return _Session(config, BatchLoader(data, GPU))


def make_steps(trained: _Session, n_steps: int) -> None:
    with torch.no_grad():
        for step in range(n_steps):
            x, y, rate_factor = next(trained._batches)
            trained._passes.run(x, y, step)
            trained._optimizer.step(rate_factor)
            trained._record.n_steps += 1


class TestBatches:
    @pytest.mark.parametrize("task", TASKS)
    def test_come_from_the_gpu_when_the_data_are_there(self, task):
        data = known_data(task)
        with fake_gpu():
            for x, y, _ in BatchLoader(data, GPU).batches(0, 0, 64):
                assert (x.device, y.device) == (GPU, GPU)

    def test_are_on_the_gpu_when_the_data_stay_on_the_host(self):
        data = known_data("regression")
        with fake_gpu():
            loader = BatchLoader(data, GPU, resident_bytes=0)
            assert loader.x_train.device.type == "cpu"
            x, y, _ = next(loader.batches(0, 0, 64))
            assert (x.device, y.device) == (GPU, GPU)
            assert all(block.device == GPU for block in loader.validation_blocks())

    def test_that_stay_on_the_host_are_refused_by_a_step(self):
        data = known_data("regression")
        with fake_gpu():
            trained = session(toy_config(), data)
            with torch.no_grad(), pytest.raises(RuntimeError, match="device"):
                trained._passes.run(torch.zeros(64, 5), torch.zeros(64), 0)

    def test_are_in_an_order_that_the_gpu_draws(self):
        with fake_gpu():
            assert permutation(0, 0, 100, GPU).device == GPU


N_BINS = 7, 1
EMBEDDED: list[dict[str, Any]] = [
    {"embedding": "piecewise_linear", "n_bins": 7, "scale": True},
    {"embedding": "periodic", "n_frequencies": 5, "dropout": 0.1},
]


def data_with_codes() -> TrainingData:
    """Data whose last column holds codes of four categories, and those of unseen ones."""
    data = known_data("regression")
    x_train, x_val = data.x_train.clone(), data.x_val.clone()
    for x in (x_train, x_val):
        x[:, -1] = (torch.arange(len(x)) % 5).float()
    columns = Inputs(n_numbers=4, sizes=(4,))
    changed = replace(data, x_train=x_train, x_val=x_val, columns=columns)
    assert changed.scale() == data.scale()
    assert all(changed.inputs.knots(n).shape == (4, n + 1) for n in N_BINS)
    return changed


class TestOneTrial:
    @pytest.mark.parametrize(
        ("task", "precision", "optimizer"), [*product(TASKS, PRECISIONS, get_args(OptimizerName))]
    )
    def test_trains_until_a_metric_is_read(self, task, precision, optimizer):
        config = toy_config(
            task,
            model={"dropout": 0.1},
            optimizer={"name": optimizer, "weight_decay": 0.1, "l1": 1e-3},
            precision=precision,
        )
        data = known_data(task)
        with fake_gpu():
            trained = session(config, data)
            make_steps(trained, data.n_batches(config.training.batch_size))
            assert trained._parameters.values.device == GPU
            with pytest.raises(ValueIsRead):
                trained._end_epoch()

    @pytest.mark.parametrize("precision", PRECISIONS)
    @pytest.mark.parametrize("activation", get_args(Activation))
    def test_computes_every_activation(self, activation, precision):
        data = known_data("regression")
        config = toy_config(model={"activation": activation, "depth": 3}, precision=precision)
        with fake_gpu():
            trained = session(config, data)
            make_steps(trained, 2)
            outputs = trained._passes.outputs(next(trained._loader.validation_blocks()))
            assert outputs.device == GPU

    @pytest.mark.parametrize("precision", PRECISIONS)
    @pytest.mark.parametrize("model", EMBEDDED, ids=lambda model: model["embedding"])
    def test_embeds_numbers_and_categories(self, model, precision):
        data = data_with_codes()
        config = toy_config(model=model, precision=precision)
        with fake_gpu():
            trained = session(config, data)
            make_steps(trained, 2)
            with pytest.raises(ValueIsRead):
                trained._end_epoch()

    @pytest.mark.parametrize("mini", [False, True])
    @pytest.mark.parametrize("precision", PRECISIONS)
    def test_computes_the_outputs_of_a_family_that_autograd_trains(self, precision, mini):
        """The backward pass of autograd needs a driver."""
        data = known_data("multiclass")
        config = toy_config("multiclass", precision=precision)
        config = replace(config, model=TabMConfig(k=3, depth=2, width=8, dropout=0.1, mini=mini))
        with fake_gpu():
            trained = session(config, data)
            with torch.no_grad(), pytest.raises(ValueIsRead):
                trained._end_epoch()
            assert trained._parameters.values.device == GPU

    def test_leaves_a_checkpoint_on_the_host_and_resumes_from_it(self):
        data, config = known_data("regression"), toy_config(optimizer={"name": "adam"})
        with fake_gpu():
            trained = session(config, data)
            make_steps(trained, 2)
            checkpoint = trained.checkpoint()
            assert checkpoint is not None
            assert {t.device.type for t in checkpoint.tensors.values()} == {"cpu"}
            resumed = _Session(config, BatchLoader(data, GPU), checkpoint)
            assert resumed._parameters.values.device == GPU
            make_steps(resumed, 1)

    def test_auto_means_bfloat16(self):
        with fake_gpu():
            assert resolve_precision("auto", 16, GPU) == "bfloat16"


@pytest.mark.parametrize("task", TASKS)
def test_losses_and_metrics_stay_on_the_gpu(task):
    data = known_data(task)
    with fake_gpu():
        loader = BatchLoader(data, GPU)
        outputs = torch.zeros(len(data.x_val), data.n_outputs, device=GPU)
        y = loader.y_val.float() if task == "regression" else loader.y_val
        losses = {"binary": ["bce"], "multiclass": ["cross_entropy"]}.get(task)
        for loss in losses or ["mse", "mae", "huber"]:
            assert GRADIENTS[loss](outputs.clone(), y, 1 / len(y)).device == GPU
        objective = ObjectiveConfig(metric=OBJECTIVES[task], quantile=0.9, k=2)
        found = measure(SCORES[task], objective, task, data.n_classes, outputs, loader.y_val)
        assert found.device == GPU


def make_pack(gpu: FakeGpu, data: TrainingData, configs: list[TrialConfig]) -> Pack:
    key = pack_key(configs[0], data, GPU)
    runs = [Run(key=index, config=each, data=data) for index, each in enumerate(configs)]
    pack = Pack(key, [PackedRun.of(run, None, GPU) for run in runs])
    for slot, member in enumerate(pack.members):
        pack.enter(slot, pack.flat(slot, gpu.fake(on_the_host(member.tensors))))
    pack.begin()
    return pack


@pytest.mark.parametrize(("task", "precision"), [*product(TASKS, PRECISIONS)])
def test_a_pack_steps_and_validates_until_its_metrics_are_read(task: Task, precision: Any) -> None:
    data, configs = known_data(task), mixed_configs(task, precision)
    with fake_gpu() as gpu:
        pack = make_pack(gpu, data, configs)
        for _ in range(2 * data.n_batches(64) + 1):  # two epochs, each with its validation
            pack.step()
        found = [pack.state(slot)["values"] for slot in range(len(configs))]
        assert {part.device for parts in found for part in parts} == {GPU}
        with pytest.raises(ValueIsRead):
            pack.read()


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("model", EMBEDDED, ids=lambda model: model["embedding"])
def test_a_pack_embeds_numbers_and_categories(model: dict[str, Any], precision: Precision) -> None:
    data = data_with_codes()
    configs = [
        toy_config(model={**model, "width": 8 + index}, schedule="cosine", precision=precision)
        for index in range(3)
    ]
    with fake_gpu() as gpu:
        pack = make_pack(gpu, data, configs)
        for _ in range(data.n_batches(64) + 1):
            pack.step()
        with pytest.raises(ValueIsRead):
            pack.read()

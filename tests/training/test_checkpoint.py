"""A run that is cut and taken up again ends as one that was not: to the bit."""

import hashlib
import subprocess
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import get_args

import pytest
import torch

from hpo.config.trial import Measurement, OptimizerName, TrialConfig
from hpo.training.batches import BatchLoader, RunData
from hpo.training.checkpoint import Checkpoint
from hpo.training.families.mlp.network import MLP
from hpo.training.families.mlp.parameters import MLPParameters
from hpo.training.inputs import Inputs
from hpo.training.record import Result
from hpo.training.single import SingleTrainer
from hpo.training.trainer import Finished, Progress, Run
from tests.support.paths import ROOT
from tests.support.program import PROGRAM
from tests.support.training import DEVICES, OBJECTIVES, toy_config, toy_data, toy_folds

files = pytest.importorskip("hpo.worker.checkpoints")  # wants more than torch
from_bytes, to_bytes = files.from_bytes, files.to_bytes
CPU = torch.device("cpu")
KEY = 7
ROW_BYTES = 5 * 4
Ending = tuple[list[Measurement], Result]


def begin(
    config: TrialConfig, data: RunData, device: torch.device, content: bytes | None = None
) -> SingleTrainer:
    """A trainer as another process has it, from a checkpoint's file."""
    trainer = SingleTrainer(device)
    checkpoint = None if content is None else from_bytes(content, "test")
    assert trainer.admit(Run(key=KEY, config=config, data=data), checkpoint)
    return trainer


def run(
    config: TrialConfig,
    data: RunData,
    device: torch.device = CPU,
    is_cut: Callable[[int], bool] = lambda n_slices: False,
) -> Ending:
    """Train in slices of a step; all measurements, and the end.

    Args:
        is_cut: whether a new trainer takes over after so many slices.
    """
    trainer, measurements, n_slices = begin(config, data, device), [], 0
    while True:
        for event in trainer.advance(0.0):
            match event:
                case Progress():
                    measurements += event.measurements
                case Finished():
                    return measurements, event.result
        n_slices += 1
        if is_cut(n_slices):
            trainer = begin(config, data, device, to_bytes(trainer.checkpoint(KEY)))


def digest(result: Result) -> str:
    """Of the weights' bits."""
    weights = [weight for fold in result.folds for weight in fold.weights.values()]
    parts = [weight.contiguous().view(torch.int32).numpy().tobytes() for weight in weights]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def assert_same(cut: Ending, whole: Ending) -> None:
    assert cut[0] == whole[0]
    assert digest(cut[1]) == digest(whole[1])
    assert cut[1].weights.keys() == whole[1].weights.keys()
    known = {"seconds": None, "folds": None, "best_value": None}  # the last may be NaN
    assert {**vars(cut[1]), **known} == {**vars(whole[1]), **known}
    assert str(cut[1].best_value) == str(whole[1].best_value)


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float64"])
@pytest.mark.parametrize("name", get_args(OptimizerName))
def test_every_optimizer_in_every_precision(name, precision, device):
    optimizer = {"name": name, "l1": 1e-5, "weight_decay": 0.01}
    config = toy_config(
        optimizer=optimizer, model={"depth": 3, "dropout": 0.2}, precision=precision, max_epochs=4
    )
    data = toy_data()
    whole = run(config, data, device)
    assert_same(run(config, data, device, lambda n: True), whole)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("task", OBJECTIVES)
def test_every_task(task, device):
    config, data = toy_config(task, model={"dropout": 0.1}), toy_data(task)
    whole = run(config, data, device)
    for cut in (1, 5, 6, 14, 29):  # a step, an epoch's last step, its validation, the middle, late
        assert_same(run(config, data, device, lambda n, cut=cut: n == cut), whole)


@pytest.mark.parametrize("device", DEVICES)
def test_a_run_with_folds_resumes_in_its_fold_and_batch(device):
    config, data = toy_config(model={"dropout": 0.2}, max_epochs=2), toy_folds()
    whole = run(config, data, device)
    # An epoch has 3, 4 and 4 batches: within each fold, between two, before and after validation.
    for cut in (2, 3, 5, 9, 11, 12, 13, 20):
        assert_same(run(config, data, device, lambda n, cut=cut: n == cut), whole)


@pytest.mark.parametrize("block_batches", [1, 2])
@pytest.mark.parametrize("device", DEVICES)
def test_streamed_data(device, block_batches, monkeypatch):
    config, data = toy_config(model={"dropout": 0.1}), toy_data()
    whole = run(config, data, device)
    block_bytes = block_batches * 64 * ROW_BYTES
    streamed = partial(BatchLoader, resident_bytes=0, block_bytes=block_bytes)
    monkeypatch.setattr("hpo.training.single.BatchLoader", streamed)
    assert_same(run(config, data, device, lambda n: n % 3 == 0), whole)


def test_patience_and_the_best_epoch_count_over_the_whole_run():
    config = toy_config(max_epochs=500, patience=3, optimizer={"learning_rate": 0.03})
    whole = run(config, toy_data())
    best = whole[1].best_step
    assert whole[1].n_epochs == best + 3 < 500
    for cut in (6 * best - 1, 6 * best, 6 * best + 1, 6 * (best + 2) + 1):  # around the best epoch
        assert_same(run(config, toy_data(), is_cut=lambda n, cut=cut: n == cut), whole)
    assert_same(run(config, toy_data(), is_cut=lambda n: n % 7 == 0), whole)


def test_divergence_is_found_after_a_cut():
    config = toy_config(optimizer={"name": "sgd", "learning_rate": 90.0}, gradient_clip=0.0)
    whole = run(config, toy_data())
    assert whole[1].status == "diverged"
    assert_same(run(config, toy_data(), is_cut=lambda n: True), whole)


def test_seconds_go_on():
    config, data = toy_config(), toy_data()
    trainer = begin(config, data, CPU)
    trainer.advance(0.0)
    content = to_bytes(replace(trainer.checkpoint(KEY), seconds=1000.0))
    resumed = begin(config, data, CPU, content)
    *_, finished = resumed.advance(float("inf"))
    assert 1000 < finished.result.seconds < 1100


@pytest.mark.slow
def test_another_process_goes_on(tmp_path: Path):
    config, data = toy_config(model={"dropout": 0.2}, max_epochs=3), toy_data()
    trainer = begin(config, data, CPU)
    for _ in range(8):
        trainer.advance(0.0)
    (tmp_path / "checkpoint").write_bytes(to_bytes(trainer.checkpoint(KEY)))
    program = (
        "import sys, pathlib, torch\n"
        f"from {__name__} import *\n"
        "torch.set_num_threads(int(sys.argv[2]))\n"
        "config = toy_config(model={'dropout': 0.2}, max_epochs=3)\n"
        "trainer = begin(config, toy_data(), CPU, pathlib.Path(sys.argv[1]).read_bytes())\n"
        "print(digest(trainer.advance(float('inf'))[-1].result))\n"
    )
    done = subprocess.run(
        [*PROGRAM, program, tmp_path / "checkpoint", str(torch.get_num_threads())],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == digest(run(config, data)[1]), done.stderr


def checkpoint_of(config: TrialConfig, data: RunData, n_slices: int = 8) -> Checkpoint:
    trainer = begin(config, data, CPU)
    for _ in range(n_slices):
        trainer.advance(0.0)
    found = trainer.checkpoint(KEY)
    assert found is not None
    return found


def test_precision_is_that_of_the_first_attempt():
    data, config = toy_data(), toy_config(precision="bfloat16")
    whole = run(config, data)
    checkpoint = checkpoint_of(config, data)
    assert checkpoint.environment.precision == "bfloat16"
    auto = replace(config, training=replace(config.training, precision="auto"))
    assert run(auto, data)[1].precision == "float32"  # as it would be resolved here
    trainer = begin(auto, data, CPU, to_bytes(checkpoint))
    *_, finished = trainer.advance(float("inf"))
    assert_same(([*whole[0]], finished.result), whole)


def test_only_new_measurements_are_told():
    data, config = toy_data(), toy_config(max_epochs=4)
    checkpoint = checkpoint_of(config, data, n_slices=14)
    assert (checkpoint.n_epochs, checkpoint.n_steps) == (2, 12)
    assert [m.step for m in checkpoint.measurements] == [1, 2]
    progress, finished = begin(config, data, CPU, to_bytes(checkpoint)).advance(float("inf"))
    assert [m.step for m in progress.measurements] == [3, 4]
    assert (finished.result.n_epochs, finished.result.n_steps) == (4, 20)


def test_a_checkpoint_is_not_touched_by_what_follows():
    data, config = toy_data(), toy_config()
    trainer = begin(config, data, CPU)
    trainer.advance(0.0)
    content = to_bytes(checkpoint := trainer.checkpoint(KEY))
    trainer.advance(0.0)
    assert to_bytes(checkpoint) == content
    assert to_bytes(trainer.checkpoint(KEY)) != content


def test_before_the_first_epoch_the_best_are_the_initial_parameters():
    config = toy_config()
    checkpoint = checkpoint_of(config, toy_data(), n_slices=2)
    initial = MLPParameters(MLP(Inputs(n_numbers=5), 1, config.model, seed=0), torch.float32).values
    assert torch.equal(checkpoint.tensors["best_values"], initial)
    assert not torch.equal(checkpoint.tensors["values"], initial)


def test_there_is_no_checkpoint_of_what_was_not_trained():
    data, config = toy_data(), toy_config()
    trainer = SingleTrainer(CPU)
    assert trainer.checkpoint(KEY) is None
    trainer.admit(Run(key=KEY, config=config, data=data))
    assert trainer.checkpoint(KEY) is None
    trainer.advance(0.0)
    assert trainer.checkpoint(KEY + 1) is None
    assert trainer.checkpoint(KEY) is not None
    trainer.advance(float("inf"))
    assert trainer.checkpoint(KEY) is None


def test_a_run_that_was_not_gone_on_with_stands_where_it_stood():
    data, config = toy_data(), toy_config()
    checkpoint = checkpoint_of(config, data)
    trainer = begin(config, data, CPU, content := to_bytes(checkpoint))
    assert to_bytes(trainer.checkpoint(KEY)) == content
    trainer.evict(KEY)
    trainer.admit(Run(key=KEY, config=config, data=data))
    assert trainer.checkpoint(KEY) is None
    *_, finished = trainer.advance(float("inf"))
    assert digest(finished.result) == digest(run(config, data)[1])


@pytest.mark.parametrize(
    ("other", "complaint"),
    [
        (toy_config(model={"width": 8}), "its tensors must be .*'values': .129,"),
        (toy_config(optimizer={"name": "sgd"}), "its tensors must be .*'optimizer.velocity'"),
        (toy_config(precision="bfloat16"), "its precision must be bfloat16, but got float32"),
        (toy_config(batch_size=300), "its step must be 2, but got 7"),
        (toy_config(batch_size=16), "its step must be 19, but got 7"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(other, complaint):
    data = toy_data()
    checkpoint = checkpoint_of(toy_config(), data)
    trainer = SingleTrainer(CPU)
    with pytest.raises(
        ValueError, match=f"the checkpoint at step 7 is not of this run: {complaint}"
    ):
        trainer.admit(Run(key=KEY, config=other, data=data), checkpoint)
    assert trainer.admit(Run(key=KEY, config=other, data=data))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"measurements": ()}, r"its epochs must be \[1\], but got \[\]"),
        ({"best_step": 2}, "its best epoch must be 1, but got 2"),
        ({"best_step": 0}, "its best epoch must be 1, but got 0"),
        ({"tensors": {}}, "its tensors must be"),
    ],
)
def test_a_checkpoint_that_contradicts_itself_is_refused(changes, complaint):
    data, config = toy_data(), toy_config()
    checkpoint = replace(checkpoint_of(config, data), **changes)
    with pytest.raises(ValueError, match=complaint):
        SingleTrainer(CPU).admit(Run(key=KEY, config=config, data=data), checkpoint)


def test_a_checkpoint_of_other_types_is_refused():
    data, config = toy_data(), toy_config()
    checkpoint = checkpoint_of(config, data)
    checkpoint.tensors["values"] = checkpoint.tensors["values"].double()
    with pytest.raises(ValueError, match="their types must be"):
        SingleTrainer(CPU).admit(Run(key=KEY, config=config, data=data), checkpoint)

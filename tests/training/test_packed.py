"""Many runs trained as one program: each as if it were alone."""

import gc
import logging
import math
import weakref
from dataclasses import replace
from types import SimpleNamespace
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hpo.config.metrics import METRICS
from hpo.config.trial import ObjectiveConfig, OptimizerName, TrialConfig
from hpo.training.checkpoint import VALUES, Checkpoint
from hpo.training.families.family import family_of
from hpo.training.families.mlp.pack_layout import padded_width
from hpo.training.packs import trainer as packed
from hpo.training.packs.trainer import PackedTrainer
from hpo.training.record import Result
from hpo.training.single import SingleTrainer
from hpo.training.trainer import Failed, Finished, Progress, Run, Unplaced
from tests.support.packs import (
    FEW,
    KEY,
    Endings,
    alone,
    checkpoint_after,
    finish,
    packs,
    single,
    started,
    together,
)
from tests.support.training import DEVICES, OBJECTIVES, rare_data, toy_config, toy_data

CPU = torch.device("cpu")
FAST = {"learning_rate": 0.03}
DIVERGES = {
    "optimizer": {"name": "sgd", "learning_rate": 90.0, "momentum": 0.9},
    "gradient_clip": 0.0,
}


def assert_same(packed: Endings, key: int, lone: Endings) -> None:
    """What was told of a run in a pack is what is told of it alone, in float64."""
    ours, theirs = packed.results[key], lone.results[KEY]
    assert_same_result(ours, theirs)
    found, expected = packed.measurements.get(key, []), lone.measurements.get(KEY, [])
    assert [m.step for m in found] == [m.step for m in expected]
    assert [m.value for m in found] == pytest.approx([m.value for m in expected], rel=1e-8)


def assert_same_result(ours: Result, theirs: Result) -> None:
    for name in ("status", "reason", "best_step", "n_epochs", "n_steps", "precision"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert ours.best_value == pytest.approx(theirs.best_value, rel=1e-8, nan_ok=True)
    assert ours.metrics == pytest.approx(theirs.metrics, rel=1e-5)
    assert ours.weights.keys() == theirs.weights.keys()
    for name, weight in ours.weights.items():
        torch.testing.assert_close(weight, theirs.weights[name], rtol=1e-6, atol=1e-7)
    assert ours.seconds > 0


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("task", OBJECTIVES)
@FEW
@given(drawn=st.data())
def test_whole_curves_are_those_of_each_run_alone(task, device, drawn):
    data = toy_data(task, n_rows=90)
    batch_size = drawn.draw(st.sampled_from([32, 64, 90, 300]))
    configs = drawn.draw(packs(task, "float64", batch_size=batch_size))
    endings = together(configs, data, device)
    for key, config in enumerate(configs):
        assert_same(endings, key, alone(config, data, device))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", get_args(OptimizerName))
def test_float64_states_agree_to_many_digits(name, device):
    data = toy_data(n_rows=90)  # the last batch of an epoch has 26 rows
    config = toy_config(
        optimizer={"name": name, "learning_rate": 0.05 if name == "sgd" else 1e-3},
        model={"depth": 3, "width": 13, "dropout": 0.1},
        batch_size=32,
        gradient_clip=0.0,
        precision="float64",
    )
    alone = single(config, data, device, 7)
    packed = checkpoint_after(started(PackedTrainer(device, 1), config, data), 7)
    assert packed.tensors.keys() == alone.tensors.keys()
    for name, expected in alone.tensors.items():
        difference = (packed.tensors[name] - expected).abs().max()
        assert difference <= 1e-9 * expected.abs().max(), name


def perturbed(checkpoint: Checkpoint, towards: float) -> Checkpoint:
    """The same run, a rounding error away."""
    values = checkpoint.tensors[VALUES]
    moved = torch.nextafter(values, torch.full_like(values, towards))
    return replace(checkpoint, tensors={**checkpoint.tensors, VALUES: moved})


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", get_args(OptimizerName))
def test_in_float32_a_pack_is_as_near_as_rounding_allows(name, device):
    data, n_steps = toy_data(), 40
    configs = [
        toy_config(
            optimizer={"name": name, "learning_rate": 1e-2, "weight_decay": 1e-3},
            model={"depth": depth, "width": 20 + depth, "dropout": 0.1},
            max_epochs=50,
            patience=50,
        )
        for depth in (1, 3)
    ]
    for config in configs:
        first = single(config, data, device, 1)
        trainer = started(PackedTrainer(device, 2), config, data, first)
        assert trainer.admit(Run(key=KEY + 1, config=configs[0], data=data))
        expected = single(config, data, device, n_steps, first).tensors[VALUES]
        distances = [
            (single(config, data, device, n_steps, start).tensors[VALUES] - expected).norm()
            for start in (perturbed(first, math.inf), perturbed(first, -math.inf))
        ]
        found = checkpoint_after(trainer, n_steps).tensors[VALUES]
        assert (found - expected).norm() < 3 * max(distances)


@pytest.mark.parametrize(
    ("task", "metric"), [(task, name) for name in METRICS for task in METRICS[name].tasks]
)
def test_every_metric_is_measured_as_alone(task, metric):
    data = toy_data(task, n_rows=90)
    configs = [
        toy_config(
            task,
            metric=metric,
            objective={"quantile": 0.9, "k": 2},
            seed=seed,
            precision="float64",
            model={"width": 12 + seed},
        )
        for seed in range(3)
    ]
    endings = together(configs, data, CPU)
    for key, config in enumerate(configs):
        assert_same(endings, key, alone(config, data, CPU))


@pytest.mark.parametrize(
    ("task", "objective"),
    [
        ("binary", {"metric": "f1", "threshold": "tuned", "calibrate": "temperature"}),
        ("multiclass", {"metric": "log_loss", "calibrate": "temperature"}),
    ],
)
def test_a_calibrated_metric_is_measured_as_alone(task, objective):
    data = rare_data(400, 40) if task == "binary" else toy_data(task, n_rows=90)
    configs = [
        replace(
            toy_config(task, seed=seed, precision="float64", max_epochs=3, optimizer=FAST),
            objective=ObjectiveConfig(**objective),
        )
        for seed in range(2)
    ]
    endings = together(configs, data, CPU)
    for key, config in enumerate(configs):
        assert_same(endings, key, alone(config, data, CPU))
        # What the search measures is what the model has.
        result = endings.results[key]
        assert result.metrics[objective["metric"]] == pytest.approx(result.best_value, rel=1e-5)
        assert result.calibration.temperature != 1
        plain = alone(
            replace(config, objective=ObjectiveConfig(metric=objective["metric"])), data, CPU
        )
        sign = METRICS[objective["metric"]].direction.sign
        best = sign * plain.results[KEY].best_value
        assert sign * result.best_value < best


@pytest.mark.parametrize(
    ("task", "trainings"),
    [
        ("binary", [{"loss": "focal", "focal_gamma": gamma} for gamma in (0.5, 2.0)]),
        ("multiclass", [{"loss": "focal", "focal_gamma": gamma} for gamma in (0.5, 2.0)]),
        ("regression", [{"loss": "poisson"}, {"target_transform": "log1p"}, {"loss": "quantile"}]),
    ],
)
def test_losses_train_in_packs_as_alone(task, trainings):
    data = toy_data(task, n_rows=90)
    configs = [
        toy_config(task, objective={"quantile": 0.9}, precision="float64", seed=seed, **training)
        for seed, training in enumerate(trainings)
    ]
    endings = together(configs, data, CPU)
    for key, config in enumerate(configs):
        assert_same(endings, key, alone(config, data, CPU))


def test_metrics_of_more_runs_than_are_measured_at_once():
    data = toy_data(n_rows=90)
    configs = [toy_config(seed=s, precision="float64", max_epochs=1) for s in range(18)]
    endings = together(configs, data, CPU)
    for key in (0, 15, 16, 17):
        assert_same(endings, key, alone(configs[key], data, CPU))


def crowd(n_runs: int = 8) -> list[TrialConfig]:
    """Runs of all kinds and lengths, some of which go to other packs than the rest."""
    names, activations = get_args(OptimizerName), ("relu", "tanh", "sigmoid", "gelu")
    return [
        toy_config(
            optimizer={"name": names[n % 4], "learning_rate": 1e-3},
            model={
                "depth": 1 + n % 3,
                "width": (10, 16, 20)[n % 3],
                "activation": activations[n // 2 % 4],
                "dropout": 0.2 * (n % 2),
            },
            precision="float64",
            max_epochs=1 + n % 5,
            seed=n,
        )
        for n in range(n_runs)
    ]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("seconds", [0.0, 0.004])
def test_runs_that_come_and_go_are_as_alone(seconds, device):
    data, configs = toy_data(n_rows=150), crowd()
    runs = [Run(key=key, config=config, data=data) for key, config in enumerate(configs)]
    endings = finish(PackedTrainer(device, 3), runs, seconds)
    assert len(endings.results) == 8
    for key, config in enumerate(configs):
        assert_same(endings, key, alone(config, data, device))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("metric", ["rmse", "r2"])
def test_divergence_touches_no_neighbour(metric, device):
    data = toy_data(n_rows=150)
    wild = toy_config(metric=metric, model={"width": 12}, precision="float64", **DIVERGES)
    calm = [toy_config(metric=metric, seed=s, precision="float64") for s in range(2)]
    configs = [calm[0], wild, calm[1], wild]
    endings = together(configs, data, device, 0.0)
    for key, config in enumerate(configs):
        assert_same(endings, key, alone(config, data, device))
    assert endings.results[1].status == "diverged"
    assert endings.results[1].weights == {}


@pytest.mark.parametrize("device", DEVICES)
def test_eviction_touches_no_neighbour(device):
    data, configs = toy_data(n_rows=150), crowd(7)
    runs = [Run(key=key, config=config, data=data) for key, config in enumerate(configs)]
    trainer = PackedTrainer(device, 3)

    def prune(endings: Endings) -> None:
        for key in (4, 6):
            if endings.measurements.get(key):
                trainer.evict(key)
                endings.results[key] = None  # nothing may be told of it from now on

    endings = finish(trainer, runs, 0.0, prune)
    assert endings.results[4] is None
    for key in (0, 1, 2, 3, 5):
        assert_same(endings, key, alone(configs[key], data, device))


@pytest.mark.parametrize("device", DEVICES)
def test_a_run_without_memory_touches_no_neighbour(device):
    data, configs = toy_data(n_rows=150), crowd(2)
    trainer, endings = PackedTrainer(device, 3), Endings()
    for key, config in enumerate(configs):
        assert trainer.admit(Run(key=key, config=config, data=data))
    endings.note(trainer.advance(0.0))
    huge = Run(key=9, config=toy_config(model={"width": 2**50}), data=data)
    assert trainer.admit(huge)
    endings.note(trainer.advance(0.0))
    assert endings.others == [Unplaced(key=9)]
    assert trainer.checkpoint(9) is None
    while len(endings.results) < 2:
        endings.note(trainer.advance(0.0))
    for key, config in enumerate(configs):
        assert_same(endings, key, alone(config, data, device))
    assert trainer.admit(huge)
    (failed,) = trainer.advance(0.0)
    assert isinstance(failed, Failed)
    assert failed.key == 9
    assert failed.reason.startswith("out of memory")
    assert trainer.advance(0.0) == []
    assert trainer.admit(Run(key=1, config=configs[1], data=data))


def test_rounds_are_long_but_after_a_newcomer(monkeypatch):
    """What a step took before says nothing of a larger pack's, and a signal waits for a round."""
    rounds, run = [], PackedTrainer._run
    clock = SimpleNamespace(now=0.0, perf_counter=lambda: clock.now)

    def noted(trainer, n_steps):
        rounds.append(n_steps)
        clock.now += n_steps / 1024
        return run(trainer, n_steps)

    monkeypatch.setattr(PackedTrainer, "_run", noted)
    monkeypatch.setattr(packed, "time", clock)
    data, config = toy_data(), toy_config(max_epochs=100_000, patience=100_000)
    trainer = started(PackedTrainer(CPU, 2), config, data)
    trainer.advance(150 / 1024)
    assert rounds == [1, 2, 4, 8, 16, 32, 64, 23]
    rounds.clear()
    trainer.advance(0.2)
    assert rounds[0] == 128, "twice the longest one, not grown from the last rest of a slice"
    assert trainer.admit(
        Run(key=9, config=replace(config, training=replace(config.training, seed=5)), data=data)
    )
    rounds.clear()
    trainer.advance(0.2)
    assert rounds[:2] == [1, 2]


def test_as_many_newcomers_are_taken_as_there_is_memory_for(monkeypatch):
    """A pack of more than three runs lacks memory here; those turned away may come again."""

    class Pack(packed.Pack):
        def __init__(self, key, members) -> None:
            if len(members) > 3:
                raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB.\nMore of it.")
            super().__init__(key, members)

    monkeypatch.setattr(packed, "Pack", Pack)
    data = toy_data(n_rows=150)
    configs = [toy_config(seed=s, precision="float64", max_epochs=3) for s in range(6)]
    trainer, endings = PackedTrainer(CPU, 6), Endings()
    runs = [Run(key=key, config=config, data=data) for key, config in enumerate(configs)]
    for run in runs[:2]:
        trainer.admit(run)
    endings.note(trainer.advance(0.0))
    for run in runs[2:]:
        trainer.admit(run)
    endings.note(trainer.advance(0.0))
    away = [event.key for event in endings.others]
    assert all(isinstance(event, Unplaced) for event in endings.others)
    assert len(away) == 3
    assert trainer.describe()[0].startswith("3 runs")
    endings.note(trainer.advance(math.inf))
    for key in set(range(6)) - set(away):
        assert_same(endings, key, alone(configs[key], data, CPU))


def test_a_pack_that_runs_out_of_memory_at_work_touches_no_other(monkeypatch):
    data, step, n_left = toy_data(), packed.Pack.step, 3
    widths = (8, 8, 100)
    configs = [toy_config(model={"width": w}, precision="float64") for w in widths]
    small = configs[0].model

    def failing(pack):
        nonlocal n_left
        is_small = pack.key.size == family_of(small).packing.key(small, data.inputs)
        n_left -= is_small
        if is_small and n_left == 0:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
        step(pack)

    monkeypatch.setattr(packed.Pack, "step", failing)
    endings = together(configs, data, CPU)
    assert [type(event) for event in endings.others] == [Unplaced, Unplaced]
    assert {event.key for event in endings.others} == {0, 1}
    assert_same(endings, 2, alone(configs[2], data, CPU))


def test_an_error_that_is_no_lack_of_memory_is_raised():
    data = replace(toy_data(), y_train=torch.zeros(3))
    trainer = started(PackedTrainer(CPU, 2), toy_config(), data)
    with pytest.raises((RuntimeError, IndexError)):
        finish(trainer, [])


def test_an_error_in_making_a_pack_is_not_taken_for_lack_of_memory(monkeypatch):
    def make(key, members):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(packed, "Pack", make)
    trainer = started(PackedTrainer(CPU, 2), toy_config(), toy_data())
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        trainer.advance(0.0)


def stored(checkpoint: Checkpoint) -> Checkpoint:
    """As another process finds it."""
    files = pytest.importorskip("hpo.worker.checkpoints")  # wants more than torch
    return files.from_bytes(files.to_bytes(checkpoint), "test")


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", get_args(OptimizerName))
def test_a_run_goes_from_a_pack_to_another_engine_and_back(name, device):
    data = toy_data()
    config = toy_config(
        optimizer={"name": name, "l1": 1e-4, "weight_decay": 0.01, "learning_rate": 1e-3},
        model={"depth": 3, "dropout": 0.2, "width": 13},
        precision="float64",
    )
    neighbours = [toy_config(seed=8, precision="float64"), toy_config(seed=9, precision="float64")]
    whole = alone(config, data, device)

    def in_pack(neighbour: TrialConfig, start: Checkpoint | None) -> PackedTrainer:
        trainer = PackedTrainer(device, 2)
        assert trainer.admit(Run(key=8, config=neighbour, data=data))
        return started(trainer, config, data, start)

    first = stored(checkpoint_after(in_pack(neighbours[0], None), 3))
    first.check(config, data)
    assert (first.n_steps, first.n_epochs) == (3, 0)
    second = stored(single(config, data, device, 9, first))
    endings = Endings()
    trainer = in_pack(neighbours[1], second)
    while KEY not in endings.results:
        endings.note(trainer.advance(0.0))
    ours, theirs = endings.results[KEY], whole.results[KEY]
    assert_same_result(ours, theirs)
    told = [m.value for m in endings.measurements[KEY]]
    expected = [m.value for m in whole.measurements[KEY]][second.n_epochs :]
    assert told == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("batch_size", [50, 100])
def test_a_run_may_be_taken_up_anywhere_by_a_pack(batch_size):
    """At an epoch's end too, where its last step is made and its validation is not."""
    data = toy_data(n_rows=100)
    config = toy_config(batch_size=batch_size, precision="float64", max_epochs=3)
    whole = alone(config, data, CPU)
    for n_slices in range(1, 3 + 3 * 100 // batch_size):
        lone = started(SingleTrainer(CPU), config, data)
        events = [event for _ in range(n_slices) for event in lone.advance(0.0)]
        start = stored(lone.checkpoint(KEY))
        trainer = started(PackedTrainer(CPU, 2), config, data, start)
        trainer.admit(Run(key=8, config=replace(config), data=data))
        endings = Endings()
        endings.note(events)
        while KEY not in endings.results:
            endings.note(trainer.advance(0.0))
        assert_same(endings, KEY, whole)


def test_a_neighbour_s_epoch_is_no_epoch_of_a_run():
    """In the pack that both are in now, the run has not ended one; its best is from before."""
    data = toy_data()
    worse_than_nothing = toy_config(
        optimizer={"learning_rate": 1e-9}, precision="float64", max_epochs=2
    )
    neighbour = toy_config(seed=4, precision="float64")
    trainer = started(PackedTrainer(CPU, 2), worse_than_nothing, data)
    endings = Endings()
    for _ in range(6):
        endings.note(trainer.advance(0.0))
    start = single(neighbour, data, CPU, 4)
    assert trainer.admit(Run(key=8, config=neighbour, data=data), start)
    while KEY not in endings.results:
        endings.note(trainer.advance(0.0))
    assert_same(endings, KEY, alone(worse_than_nothing, data, CPU))
    assert endings.results[KEY].metrics["r2"] < 0


def test_a_run_in_a_pack_is_where_it_was_until_it_is_trained():
    data, config = toy_data(), toy_config()
    trainer = started(PackedTrainer(CPU, 2), config, data)
    assert trainer.checkpoint(KEY) is None
    start = single(config, data, CPU, 8)
    trainer.evict(KEY)
    started(trainer, config, data, start)
    assert trainer.checkpoint(KEY) is start
    assert trainer.checkpoint(KEY + 1) is None
    with pytest.raises(ValueError, match="the checkpoint at step 8 is not of this run"):
        trainer.admit(Run(key=4, config=toy_config(model={"width": 8}), data=data), start)
    assert trainer.admit(Run(key=4, config=config, data=data))


def test_a_run_that_is_over_where_it_is_taken_up_ends_at_once():
    data, config = toy_data(), toy_config(max_epochs=3)
    start = single(config, data, CPU, 11)  # of the third epoch
    short = replace(config, training=replace(config.training, max_epochs=2))
    results = []
    for trainer in (SingleTrainer(CPU), PackedTrainer(CPU, 2)):
        (finished,) = started(trainer, short, data, start).advance(0.0)
        assert isinstance(finished, Finished)
        results.append(finished.result)
    assert results[0].n_epochs == results[1].n_epochs == 2
    for name, weight in results[0].weights.items():
        assert torch.equal(weight, results[1].weights[name])


def test_batches_are_no_larger_than_the_data():
    data, config = toy_data(n_rows=90), toy_config(batch_size=1_000_000, precision="float64")
    assert_same(together([config], data, CPU), 0, alone(config, data, CPU))
    trainer = started(PackedTrainer(CPU, 1), config, data)
    trainer.advance(0.0)
    (pack,) = trainer._packs.values()
    assert len(pack._rows) == 90


def test_nothing_is_told_of_a_run_by_the_pack_that_it_left(monkeypatch):
    """Its key is taken by another run, and there is no memory to make its old pack anew."""
    data, config = toy_data(), toy_config()
    trainer = PackedTrainer(CPU, 2)
    for key in (0, 1):
        assert trainer.admit(Run(key=key, config=config, data=data))
    trainer.advance(0.0)
    trainer.evict(0)
    made = packed.Pack

    def make(key, members):
        if key.size == 16:
            raise RuntimeError("out of memory")
        return made(key, members)

    monkeypatch.setattr(packed, "Pack", make)
    other = toy_config(model={"width": 24}, seed=1, batch_size=300)
    assert trainer.admit(Run(key=0, config=other, data=data))
    endings = Endings()
    for _ in range(5):
        endings.note(trainer.advance(0.0))
    assert len(endings.measurements[0]) == 5
    assert len(endings.measurements[1]) == 1


def test_what_differs_in_kind_goes_to_another_pack():
    data = toy_data()
    base = toy_config(model={"width": 16})
    configs = [
        base,
        toy_config(model={"width": 9, "depth": 4}, optimizer={"name": "sgd"}, seed=4),
        toy_config(model={"width": 17}),
        toy_config(batch_size=32),
        toy_config(loss="mae"),
        toy_config(metric="mae"),
        toy_config(precision="float64"),
    ]
    trainer = PackedTrainer(CPU, 9)
    for key, config in enumerate(configs):
        assert trainer.admit(Run(key=key, config=config, data=data))
    assert trainer.admit(Run(key=7, config=base, data=toy_data()))
    assert trainer.admit(Run(key=8, config=base, data=data))
    trainer.advance(0.0)
    lines = sorted(trainer.describe())
    assert [line.split()[0] for line in lines] == ["1"] * 6 + ["3"]
    assert lines[-1].startswith("3 runs, float32, batches of 64: ")
    assert sum("float64" in line for line in lines) == 1
    assert sum("batches of 32" in line for line in lines) == 1
    n_own = 17 * (5 + 17 + 1) + 2 * 17 + 1
    n_padded = 24 * (5 + 24 + 1) + 2 * 24 + 1
    padding = f": {1 - n_own / n_padded:.0%} padding"
    assert sum(line.endswith(padding) for line in lines) == 1


def test_padding_is_bounded():
    for width in range(1, 5000):
        padded = padded_width(width)
        assert width <= padded <= max(16, 1.5 * width)
        assert padded % 8 == 0
        assert padded_width(padded) == padded


def test_a_trainer_takes_as_many_runs_as_it_has_slots():
    data, config = toy_data(), toy_config(max_epochs=1)
    trainer = PackedTrainer(CPU, 2)
    runs = [Run(key=key, config=config, data=data) for key in range(3)]
    assert [trainer.admit(run) for run in runs] == [True, True, False]
    events = trainer.advance(math.inf)
    assert [type(event) for event in events] == [Progress, Progress, Finished, Finished]
    assert trainer.advance(1.0) == []
    assert trainer.describe() == []
    assert trainer.admit(runs[2])
    trainer.evict(8)
    assert trainer.admit(runs[0])
    assert not trainer.admit(runs[1])
    trainer.evict(0)
    trainer.evict(2)
    assert trainer.advance(1.0) == []


def test_a_slice_ends_when_a_slot_is_free():
    data, trainer = toy_data(), PackedTrainer(CPU, 2)
    for key, n_epochs in enumerate((1, 3000)):
        config = toy_config(max_epochs=n_epochs, patience=n_epochs)
        trainer.admit(Run(key=key, config=config, data=data))
    *_, last = trainer.advance(math.inf)
    assert isinstance(last, Finished)
    assert last.key == 0
    assert trainer.checkpoint(1) is not None


def test_a_pack_shrinks_when_a_run_leaves():
    data, trainer = toy_data(), PackedTrainer(CPU, 3)
    for key, max_epochs in enumerate((1, 9, 9)):
        trainer.admit(Run(key=key, config=toy_config(max_epochs=max_epochs), data=data))
    sizes = []
    for n_steps in (5, 1):
        for _ in range(n_steps):
            trainer.advance(0.0)
        sizes.append(trainer.describe()[0][:6])
    trainer.evict(1)
    trainer.advance(0.0)
    assert [*sizes, trainer.describe()[0][:6]] == ["3 runs", "2 runs", "1 runs"]


def test_nothing_of_a_pack_is_kept_when_its_runs_have_left():
    data = toy_data()
    trainer = started(PackedTrainer(CPU, 2), toy_config(), data)
    trainer.advance(0.0)
    (pack,) = trainer._packs.values()
    seen = [weakref.ref(pack), weakref.ref(pack.key.loader)]
    del pack
    gc.disable()
    try:
        trainer.admit(Run(key=4, config=toy_config(max_epochs=1), data=data))
        trainer.advance(0.0)
        assert seen[0]() is None, "of a pack that was made anew"
        trainer.evict(KEY)
        trainer.evict(4)
        trainer.advance(0.0)
        assert seen[1]() is None, "the data"
    finally:
        gc.enable()


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@needs_gpu
def test_on_a_gpu_a_step_is_one_graph(caplog):
    device = torch.device("cuda", 0)
    trainer = PackedTrainer(device, 4)
    with caplog.at_level(logging.WARNING):
        for key, config in enumerate(crowd(4)):
            trainer.admit(Run(key=key, config=config, data=toy_data()))
        trainer.advance(0.0)
    assert not caplog.records
    assert all(pack._program._graph is not None for pack in trainer._packs.values())


@needs_gpu
def test_on_a_gpu_a_pack_learns_in_bfloat16():
    configs = [
        toy_config(model={"width": width, "depth": 3}, precision="bfloat16", max_epochs=20)
        for width in (32, 48, 64)
    ]
    endings = together(configs, toy_data(n_rows=1000), torch.device("cuda", 0))
    for result in endings.results.values():
        assert result.precision == "bfloat16"
        assert result.metrics["r2"] > 0.75


@needs_gpu
def test_on_a_gpu_memory_is_given_back():
    device, data = torch.device("cuda", 0), toy_data(n_rows=1000)
    together(crowd(), data, device)  # what libraries keep for themselves
    gc.collect()
    before = torch.cuda.memory_allocated()
    trainer = PackedTrainer(device, 8)
    runs = [Run(key=k, config=toy_config(model={"width": 256}), data=data) for k in range(8)]
    finish(trainer, runs)
    assert trainer.advance(0.0) == []
    assert torch.cuda.memory_allocated() - before < 2**26, "a workspace of cuBLAS at most"

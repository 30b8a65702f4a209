"""The engine against PyTorch's layers, losses and optimizers, and scikit-learn's metrics."""

import math
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from sklearn import metrics as reference
from torch import nn

from hpo.training import (
    MLP,
    Failed,
    Finished,
    Progress,
    Result,
    Run,
    SingleTrainer,
    TrainingData,
    evaluate,
    predictions,
    train,
)
from hpo.training.batches import Feed
from hpo.trial import (
    DataConfig,
    ModelConfig,
    ObjectiveConfig,
    OptimizerConfig,
    SplitConfig,
    Task,
    TrainingConfig,
    TrialConfig,
)

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
METRIC = {"binary": "log_loss", "multiclass": "log_loss", "regression": "rmse"}


def table(task: Task = "regression", n_rows: int = 300, n_inputs: int = 5) -> TrainingData:
    """A table that can be learned."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n_rows, n_inputs, generator=generator)
    score = x[:, 0] * 2 - x[:, 1].square() + 0.1 * torch.randn(n_rows, generator=generator)
    y = {
        "regression": score * 3 + 10,
        "binary": (score > 0).float(),
        "multiclass": (score > 0).long() + (score > 1).long(),
    }[task]
    n_classes = {"regression": 0, "binary": 2, "multiclass": 3}[task]
    return TrainingData(
        task=task,
        n_classes=n_classes,
        x_train=x[:200],
        y_train=y[:200],
        x_val=x[200:],
        y_val=y[200:],
    )


def config(task: Task = "regression", **changes: object) -> TrialConfig:
    """A small configuration; changes go to the section that has the key."""
    base = TrialConfig(
        data=DataConfig(source="t.csv", target="y", split=SplitConfig()),
        objective=ObjectiveConfig(metric=METRIC[task]),  # type: ignore[arg-type]
        model=ModelConfig(depth=2, width=16),
        optimizer=OptimizerConfig(),
        training=TrainingConfig(batch_size=64, max_epochs=3, precision="float32"),
    )
    sections = {name: getattr(base, name) for name in ("model", "optimizer", "training")}
    for name, section in sections.items():
        mine = {key: value for key, value in changes.items() if hasattr(section, key)}
        sections[name] = replace(section, **mine)
    return replace(base, **sections)


def by_torch(trial: TrialConfig, data: TrainingData) -> dict[str, torch.Tensor]:
    """Train with autograd and torch.optim on the engine's own batches; the last weights."""
    training, optimizer = trial.training, trial.optimizer
    network = MLP(data.x_train.shape[1], data.n_outputs, trial.model, seed=training.seed)
    matrices = [p for p in network.parameters() if p.ndim == 2]
    biases = [p for p in network.parameters() if p.ndim == 1]
    groups = [
        {"params": matrices, "weight_decay": optimizer.weight_decay},
        {"params": biases, "weight_decay": 0.0},
    ]
    made: torch.optim.Optimizer = {
        "sgd": lambda: torch.optim.SGD(
            groups, lr=optimizer.learning_rate, momentum=optimizer.momentum
        ),
        "adam": lambda: torch.optim.Adam(groups, lr=optimizer.learning_rate),
        "adamw": lambda: torch.optim.AdamW(groups, lr=optimizer.learning_rate),
        "rmsprop": lambda: torch.optim.RMSprop(groups, lr=optimizer.learning_rate),
    }[optimizer.name]()
    losses = {
        "bce": nn.functional.binary_cross_entropy_with_logits,
        "cross_entropy": nn.functional.cross_entropy,
        "mse": nn.functional.mse_loss,
        "mae": nn.functional.l1_loss,
        "huber": nn.functional.smooth_l1_loss,
    }
    first = {"binary": "bce", "multiclass": "cross_entropy", "regression": "mse"}[data.task]
    loss_of = losses[first if training.loss == "auto" else training.loss]
    feed = Feed(data, torch.device("cpu"))
    for epoch in range(training.max_epochs):
        for x, y in feed.batches(training.seed, epoch, training.batch_size):
            made.zero_grad()
            logits = network(x)
            loss_of(logits.view(y.shape) if logits.numel() == y.numel() else logits, y).backward()
            if training.gradient_clip:
                nn.utils.clip_grad_norm_(network.parameters(), training.gradient_clip)
            for p in matrices:  # the loss's gradient alone is clipped
                p.grad += optimizer.l1 * p.detach().sign()  # type: ignore[operator]
            made.step()
    return network.state_dict()


def final(trial: TrialConfig, data: TrainingData) -> dict[str, torch.Tensor]:
    """The engine's weights after the last epoch, which must be the best one."""
    result = train(trial, data, "cpu")
    assert result.n_epochs == trial.training.max_epochs
    assert result.best_step == result.n_epochs, "choose a case that improves until its end"
    return result.weights


class TestAgainstTorch:
    @pytest.mark.parametrize(
        "activation", ["relu", "leaky_relu", "tanh", "sigmoid", "silu", "gelu", "mish"]
    )
    def test_every_activation(self, activation: str) -> None:
        self.same(config(activation=activation), table())

    @pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "rmsprop"])
    @pytest.mark.parametrize("weight_decay", [0.0, 0.1])
    def test_every_optimizer(self, name: str, weight_decay: float) -> None:
        self.same(config(name=name, weight_decay=weight_decay, learning_rate=2e-3), table())

    @pytest.mark.parametrize(
        ("task", "loss"),
        [
            ("binary", "auto"),
            ("multiclass", "auto"),
            ("regression", "mse"),
            ("regression", "mae"),
            ("regression", "huber"),
        ],
    )
    def test_every_loss(self, task: Task, loss: str) -> None:
        self.same(config(task, loss=loss), table(task))

    def test_l1_and_clipping(self) -> None:
        self.same(config(l1=1e-2, gradient_clip=0.05), table())

    def test_one_layer_and_many(self) -> None:
        self.same(config(depth=1), table())
        self.same(config(depth=6, learning_rate=3e-3), table())

    def same(self, trial: TrialConfig, data: TrainingData) -> None:
        ours, theirs = final(trial, data), by_torch(trial, data)
        assert ours.keys() == theirs.keys()
        for name in ours:
            torch.testing.assert_close(ours[name], theirs[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("device", DEVICES)
class TestRepetition:
    def test_same_seed_same_bits_whatever_the_slices(self, device: str) -> None:
        trial, data = config(dropout=0.3), table()
        whole = train(trial, data, device)
        trainer = SingleTrainer(device)
        trainer.admit(Run(key=7, config=trial, data=data))
        steps: list[int] = []
        result: Result | None = None
        while result is None:
            for event in trainer.advance(1e-9):
                assert event.key == 7
                if isinstance(event, Progress):
                    steps += [measured.step for measured in event.measurements]
                if isinstance(event, Finished):
                    result = event.result
        assert steps == [1, 2, 3]
        assert result.best_value == whole.best_value
        for name, weight in whole.weights.items():
            assert torch.equal(weight, result.weights[name])

    def test_another_seed_other_weights(self, device: str) -> None:
        first, second = (train(config(seed=seed), table(), device) for seed in (0, 1))
        assert not torch.equal(first.weights["output.weight"], second.weights["output.weight"])

    def test_streamed_in_small_blocks_same_batches(self, device: str) -> None:
        data, where = table(), torch.device(device)
        resident = Feed(data, where)
        streamed = Feed(data, where, resident_bytes=0, block_bytes=1)
        pairs = zip(resident.batches(3, 1, 32), streamed.batches(3, 1, 32), strict=True)
        n_rows = 0
        for (x, y), (other_x, other_y) in pairs:
            assert torch.equal(x, other_x)
            assert torch.equal(y, other_y)
            n_rows += len(x)
        assert n_rows == 200

    def test_bfloat16_learns_as_well(self, device: str) -> None:
        exact, fast = (
            train(config(precision=precision, width=64, max_epochs=40), table(), device)
            for precision in ("float32", "bfloat16")
        )
        assert fast.precision == "bfloat16"
        assert fast.metrics["rmse"] == pytest.approx(exact.metrics["rmse"], rel=0.1)


class TestEnding:
    def test_patience_ends_it_and_the_best_epoch_is_kept(self) -> None:
        trial = config(learning_rate=0.02, max_epochs=500, patience=5, width=64, depth=3)
        result = train(trial, table(n_rows=260), "cpu")
        assert result.n_epochs == result.best_step + 5 < 500
        network = MLP(5, 1, trial.model, seed=0).eval()
        network.load_state_dict(result.weights)
        data = table(n_rows=260)
        with torch.no_grad():
            logits = network(data.x_val)
        again = evaluate("regression", 0, logits, data.y_val, data.target_mean, data.target_std)
        assert again == pytest.approx(result.metrics, rel=1e-5)
        assert again["rmse"] == pytest.approx(result.best_value, rel=1e-5)

    def test_what_diverges_says_when(self) -> None:
        trial = config(name="sgd", learning_rate=90.0, gradient_clip=0.0, max_epochs=50)
        result = train(trial, table(), "cpu")
        assert result.status == "diverged"
        assert "no finite number" in result.reason
        assert str(result.n_epochs) in result.reason

    def test_out_of_memory_fails_one_trial_and_the_next_goes_on(self) -> None:
        trainer = SingleTrainer("cpu")
        huge = config(width=65536, depth=64)  # weights of a terabyte
        trainer.admit(Run(key=1, config=huge, data=table()))
        (failed,) = trainer.advance(1.0)
        assert isinstance(failed, Failed)
        assert failed.reason.startswith("out of memory")
        assert trainer.admit(Run(key=2, config=config(), data=table()))
        assert isinstance(trainer.advance(60.0)[-1], Finished)

    def test_one_at_a_time_and_evicted_at_once(self) -> None:
        trainer = SingleTrainer("cpu")
        run = Run(key=1, config=config(), data=table())
        assert trainer.admit(run)
        assert not trainer.admit(replace(run, key=2))
        trainer.evict(2)
        assert not trainer.admit(replace(run, key=2))
        trainer.evict(1)
        assert trainer.advance(1.0) == []
        assert trainer.admit(replace(run, key=2))


class TestMetrics:
    def test_regression(self) -> None:
        y = torch.tensor([3.0, -1.0, 2.0, 7.0])
        logits = torch.tensor([0.5, 0.0, 0.4, 1.5])[:, None]
        said = predictions("regression", logits, 1.0, 4.0)
        assert evaluate("regression", 0, logits, y, 1.0, 4.0) == pytest.approx(
            {
                "rmse": reference.root_mean_squared_error(y, said),
                "mae": reference.mean_absolute_error(y, said),
                "r2": reference.r2_score(y, said),
            }
        )

    def test_binary_with_ties(self) -> None:
        generator = torch.Generator().manual_seed(0)
        logits = torch.randint(-4, 5, (400, 1), generator=generator).float() / 2
        y = (torch.rand(400, generator=generator) < logits[:, 0].sigmoid()).float()
        said = predictions("binary", logits, 0.0, 1.0)
        label = (logits[:, 0] > 0).int()
        assert evaluate("binary", 2, logits, y, 0.0, 1.0) == pytest.approx(
            {
                "accuracy": reference.accuracy_score(y, label),
                "balanced_accuracy": reference.balanced_accuracy_score(y, label),
                "f1": reference.f1_score(y, label),
                "roc_auc": reference.roc_auc_score(y, logits[:, 0]),
                "log_loss": reference.log_loss(y, said[:, 1].double()),
            },
            rel=1e-5,
        )

    def test_several_classes(self) -> None:
        generator = torch.Generator().manual_seed(0)
        logits = torch.randn(300, 4, generator=generator)
        y = torch.randint(0, 4, (300,), generator=generator)
        said = predictions("multiclass", logits, 0.0, 1.0).double()
        said /= said.sum(dim=1, keepdim=True)
        label = logits.argmax(dim=1)
        assert evaluate("multiclass", 4, logits, y, 0.0, 1.0) == pytest.approx(
            {
                "accuracy": reference.accuracy_score(y, label),
                "balanced_accuracy": reference.balanced_accuracy_score(y, label),
                "f1": reference.f1_score(y, label, average="macro"),
                "roc_auc": reference.roc_auc_score(y, said, multi_class="ovr"),
                "log_loss": reference.log_loss(y, said),
            },
            rel=1e-5,
        )


def test_dropout_drops_its_share_and_nothing_at_prediction() -> None:
    trial = config(dropout=0.5, width=256, max_epochs=1)
    dry, wet = (
        train(replace(trial, model=m), table(), "cpu")
        for m in (replace(trial.model, dropout=0.0), trial.model)
    )
    assert dry.best_value != wet.best_value
    network = MLP(5, 1, trial.model, seed=0).eval()
    x = torch.randn(8, 5)
    with torch.no_grad():
        assert torch.equal(network(x), network(x))
    assert math.isfinite(wet.best_value)


def test_the_room_needs_torch_and_the_standard_library_alone() -> None:
    program = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {'pydantic', 'optuna', 'polars', 'sqlalchemy', 'sklearn', 'typer',
                                  'rich', 'safetensors', 'fsspec', 'tomli_w', 'psycopg'}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refuse())
import hpo.training
print(hpo.training.SingleTrainer('cpu').device)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stdout == "cpu\n", done.stderr

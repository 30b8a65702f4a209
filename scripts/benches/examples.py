"""Training as in Optuna's PyTorch examples: DataLoader, nn.Sequential, torch.optim.

A piecewise-linear embedding is that of its authors' package `rtdl_num_embeddings`, which only
configurations with an embedding need. All else needs only torch.
"""

import time
from functools import cache

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from hpo.config.trial import TrialConfig
from hpo.training.batches import TrainingData


def train(config: TrialConfig, data: TrainingData, device: torch.device) -> float:
    """Train a configuration; returns the validation RMSE of the last epoch."""
    step = Stepper(config, data, device)
    loader = DataLoader(TensorDataset(data.x_val, data.y_val), batch_size=1024)
    rmse = float("nan")
    for _ in range(config.training.max_epochs):
        step.epoch()
        step.model.eval()
        with torch.no_grad():
            squares = [(step.predicted(x) - y.to(device)).square().sum() for x, y in loader]
        rmse = (torch.stack(squares).sum() / len(data.y_val)).sqrt().item()
    return rmse


def speed(config: TrialConfig, data: TrainingData, device: torch.device, seconds: float) -> float:
    """Updates per second, measured over about `seconds`."""
    step = Stepper(config, data, device)
    step.epoch(seconds / 4)
    start = time.perf_counter()
    n_steps = 0
    while time.perf_counter() < start + seconds:
        n_steps += step.epoch(start + seconds - time.perf_counter())
    return n_steps / (time.perf_counter() - start)


class Stepper:
    """A model in training."""

    def __init__(self, config: TrialConfig, data: TrainingData, device: torch.device) -> None:
        """Build model, optimizer and loader."""
        torch.manual_seed(config.training.seed)
        self.model = build(config, data).to(device)
        self._config, self._data, self._device = config, data, device
        self._optimizer = build_optimizer(config, self.model)
        y_train = data.scale().learned(data.y_train)
        self._loader = DataLoader(
            TensorDataset(data.x_train, y_train),
            batch_size=config.training.batch_size,
            shuffle=True,
        )

    def epoch(self, seconds: float = float("inf")) -> int:
        """Train an epoch, or a part of it within `seconds`; returns the number of updates."""
        deadline = time.perf_counter() + seconds
        l1, clip = self._config.optimizer.l1, self._config.training.gradient_clip
        n_steps = 0
        self.model.train()
        for x, y in self._loader:
            self._optimizer.zero_grad()
            outputs = self.model(x.to(self._device)).squeeze(1)
            loss = nn.functional.mse_loss(outputs, y.to(self._device))
            if l1:
                named = self.model.named_parameters()
                weights = [p for name, p in named if name.endswith("weight")]
                loss = loss + l1 * sum(p.abs().sum() for p in weights)
            loss.backward()
            if clip:
                nn.utils.clip_grad_norm_(self.model.parameters(), clip)
            self._optimizer.step()
            n_steps += 1
            if time.perf_counter() >= deadline:
                break
        if self._device.type == "cuda":
            torch.cuda.synchronize()
        return n_steps

    def predicted(self, x: torch.Tensor) -> torch.Tensor:
        """Predictions in the target's own units."""
        outputs: torch.Tensor = self.model(x.to(self._device)).squeeze(1)
        return self._data.scale().values(outputs)


class Activation(nn.Module):
    """An activation by its name in the search space."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.function = getattr(nn.functional, name)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply it."""
        return self.function(x)


def build(config: TrialConfig, data: TrainingData) -> nn.Sequential:
    """The network."""
    layers: list[nn.Module] = []
    width = data.x_train.shape[1]
    if config.model.embedding == "piecewise_linear":
        from rtdl_num_embeddings import PiecewiseLinearEmbeddings

        size, found = config.model.embedding_size, bins(data, config.model.n_bins)
        embedding = PiecewiseLinearEmbeddings(found, size, activation=False, version="B")
        layers += [embedding, nn.Flatten()]
        width *= size
    for _ in range(config.model.depth):
        layers += [nn.Linear(width, config.model.width), Activation(config.model.activation)]
        layers += [nn.Dropout(config.model.dropout)] if config.model.dropout else []
        width = config.model.width
    return nn.Sequential(*layers, nn.Linear(width, 1))


@cache
def bins(data: TrainingData, n_bins: int) -> list[torch.Tensor]:
    """Quantiles of each number on the training part, computed once for all networks."""
    from rtdl_num_embeddings import compute_bins

    found: list[torch.Tensor] = compute_bins(data.x_train, n_bins)
    return found


def build_optimizer(config: TrialConfig, model: nn.Module) -> torch.optim.Optimizer:
    """The optimizer from torch.optim."""
    settings = config.optimizer
    options = {"lr": settings.learning_rate, "weight_decay": settings.weight_decay}
    match settings.name:
        case "sgd":
            return torch.optim.SGD(model.parameters(), momentum=settings.momentum, **options)
        case "adam":
            return torch.optim.Adam(model.parameters(), **options)
        case "adamw":
            return torch.optim.AdamW(model.parameters(), **options)
        case _:
            return torch.optim.RMSprop(model.parameters(), **options)

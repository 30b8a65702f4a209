"""Networks of equal shape trained by `torch.func.vmap`, to compare packs with.

One program trains all networks: `vmap` of `grad` over stacked parameters, with the same network,
batches and types as a pack, dropout masks for each network, and one fused AdamW over the stacked
parameters. On a GPU the gradients are compiled. This favors `vmap` a little: all networks share the
settings of the optimizer, which a search would vary.

Needs only torch.
"""

import time
from collections.abc import Mapping, Sequence

import torch
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn import functional

from hpo.config.trial import TrialConfig
from hpo.training.batches import BatchLoader, TrainingData
from hpo.training.families.embeddings.parts import EmbeddingParts
from hpo.training.families.mlp.network import MLP

State = Mapping[str, torch.Tensor]
STEPS = 8
"""Steps between two looks at the clock."""


class Network(MLP):
    """`hpo`'s MLP as it is trained: layers between hidden layers compute in the working type."""

    def __init__(self, config: TrialConfig, data: TrainingData, device: torch.device) -> None:
        """Build a network."""
        super().__init__(data.inputs, 1, config.model, seed=config.training.seed)
        self.to(device)
        self._working = getattr(torch, config.training.precision)
        self._passes = None if self.embedding is None else self.embedding.passes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (rows, n_columns) features to (rows,) outputs."""
        if self._passes is not None:
            parts = [getattr(self.embedding, name) for name in EmbeddingParts._fields]
            x = self._passes.forward(x, EmbeddingParts(*parts)).outputs
        for index, layer in enumerate(self.hidden):
            dtype = self._working if index else torch.float32
            weight, bias = layer.weight.to(dtype), layer.bias.to(dtype)
            z = functional.linear(x.to(dtype), weight, bias).to(self._working)
            x = self.dropout(self.activation(z))
        return self.output(x.float()).squeeze(-1)


class Stack:
    """Networks in training.

    Attributes:
        values: the stacked parameters by name, (networks, ...).
        n_updates: updates of all networks together.
    """

    def __init__(
        self, configs: Sequence[TrialConfig], data: TrainingData, device: torch.device
    ) -> None:
        """Build the networks; their configurations differ in the seed only."""
        networks = [Network(config, data, device) for config in configs]
        self._network, self._device, self._n = networks[0], device, len(configs)
        self._loader = BatchLoader(data, device)
        self._batch_size = configs[0].training.batch_size
        self.values, _ = stack_module_state(networks)
        self._best = {name: value.detach().clone() for name, value in self.values.items()}
        self._best_rmse = torch.full((self._n,), torch.inf, device=device)
        self._optimizer = self._build_optimizer(configs[0])
        self.gradients = vmap(grad(self._loss), randomness="different")
        if device.type == "cuda":
            self.gradients = torch.compile(self.gradients, mode="reduce-overhead")
        self._outputs = vmap(self._output, in_dims=(0, None))
        self._order = torch.empty(self._n, 0, dtype=torch.int64, device=device)
        self.n_updates = 0

    def advance(self, seconds: float) -> None:
        """Train for about so many seconds."""
        deadline = time.perf_counter() + seconds
        while time.perf_counter() < deadline:
            for _ in range(STEPS):
                self._step()
            if self._device.type == "cuda":
                torch.cuda.synchronize(self._device)

    def _step(self) -> None:
        if not self._order.shape[1]:
            self._start_epoch()
        index = self._order[:, : self._batch_size]
        self._order = self._order[:, self._batch_size :]
        x = self._loader.x_train.index_select(0, index.reshape(-1)).view(*index.shape, -1)
        y = self._loader.targets("identity").index_select(0, index.reshape(-1)).view(index.shape)
        for name, gradient in self.gradients(self.values, x, y).items():
            self.values[name].grad = gradient
        self._optimizer.step()
        self.n_updates += self._n

    def _start_epoch(self) -> None:
        """Validate, if an epoch has ended, and draw each network's order of rows."""
        if self.n_updates:
            self._validate()
        n_rows = len(self._loader.x_train)
        orders = [torch.randperm(n_rows, device=self._device) for _ in range(self._n)]
        self._order = torch.stack(orders)

    @torch.no_grad()
    def _validate(self) -> None:
        """Keep the best parameters of each network."""
        data = self._loader.data
        self._network.eval()
        blocks = self._loader.validation_blocks()
        outputs = torch.cat([self._outputs(self.values, x) for x in blocks], dim=1)
        self._network.train()
        errors = data.scale().values(outputs) - self._loader.y_val
        rmse = errors.square().mean(dim=1).sqrt().float()
        is_best = rmse < self._best_rmse
        self._best_rmse = torch.where(is_best, rmse, self._best_rmse)
        for name, best in self._best.items():
            is_own = is_best.view(-1, *[1] * (best.ndim - 1))
            best.copy_(torch.where(is_own, self.values[name], best))

    def _output(self, values: State, x: torch.Tensor) -> torch.Tensor:
        return functional_call(self._network, values, (x,))

    def _loss(self, values: State, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return functional.mse_loss(self._output(values, x), y)

    def _build_optimizer(self, config: TrialConfig) -> torch.optim.AdamW:
        settings = config.optimizer
        weights = [value for name, value in self.values.items() if name.endswith("weight")]
        others = [value for name, value in self.values.items() if not name.endswith("weight")]
        groups = [
            {"params": weights, "weight_decay": settings.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        betas = settings.beta1, settings.beta2
        return torch.optim.AdamW(groups, settings.learning_rate, betas=betas, fused=True)

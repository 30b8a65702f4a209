"""Training: tensors in, weights and metrics out.

- `trainer`: the trainer interface, its runs and events; `single` and `packs.trainer` implement it.
- `batches`: `TrainingData`, which a run is trained on.
- `families`: what a network is; all else asks the family of a model's configuration.
- `losses`, `optimizers` and `schedules`: the gradients and the updates.
- `checkpoint` and `record`: where a run stands, and its `Result`.
- `metrics`: metrics and predictions from a network's outputs.
- `precision`, `sizing`: what a device computes best in, and how many runs it trains at once.

Needs torch and the standard library alone. Does not know: SQL, files, signals, studies.
"""

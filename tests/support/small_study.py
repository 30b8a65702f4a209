"""A small study file and its table."""

from pathlib import Path

STUDY = """
name = "small"
[search_space.model]
depth = {{ type = "int", low = 1, high = 2 }}
width = 8

[search_space.optimizer]
learning_rate = {{ type = "float", low = 1e-3, high = 1e-1, log = true }}

[data]
source = "{source}"
target = "sold"
split = {{ val = 0.25, test = 0.25 }}

[objective]
metric = "accuracy"

[training]
max_epochs = 4

[budget]
n_trials = {n_trials}
"""


def write_study(folder: Path, n_trials: int = 6, n_rows: int = 160) -> Path:
    """A small binary study: numbers, strings and missing values."""
    sizes = ["" if i % 17 == 0 else str(i * 0.5) for i in range(n_rows)]
    colours = [("red", "blue", "")[i % 3] for i in range(n_rows)]
    sold = [("no", "yes")[i * 7 % 160 > 79] for i in range(n_rows)]
    rows = [",".join(cells) for cells in zip(sizes, colours, sold, strict=True)]
    (folder / "houses.csv").write_text("\n".join(["size,colour,sold", *rows]) + "\n")
    path = folder / "small.toml"
    path.write_text(STUDY.format(source="houses.csv", n_trials=n_trials))
    return path

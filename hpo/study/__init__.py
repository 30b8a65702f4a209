"""Studies as they persist in a storage.

To read and change studies: `catalog` creates, opens, lists and deletes them; `study` is one open
study; `row` holds its attributes; `status` and `leaderboard` are what people read.
To run them: `budget` limits trials, `steering` is what people order, `orders` what workers obey,
`fleet` shares workers out, `reaper` takes back the trials of dead ones.
To search: `sampling` (with `tpe` and `tried`) and `pruning` are Optuna's algorithms.
To confirm: `confirmation` is the statistics, `retraining` the study that trains again.

Does not know: torch, polars, files, SQL.
"""

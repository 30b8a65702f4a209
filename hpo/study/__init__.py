"""Studies as they persist in a storage.

To read and change studies: `catalog` creates, opens, lists and deletes them; `study` is one study;
`artifacts` is a study with its artifact store; `row` holds a study's attributes, `rows` reaches all
of its rows, and `damage` says what is wrong with them; `status` and `leaderboard` describe studies
to people.
To run studies: `budget` limits trials, `steering` holds people's commands, `orders` what workers
obey, `fleet` distributes workers over studies, `reaper` releases the trials of dead workers.
To search: `sampling` (with `tpe` and `tried`) and `pruning` wrap Optuna's algorithms.
To confirm: `confirmation` holds the statistics, `retraining` the study that trains again.

Does not know: torch, polars, SQL.
"""

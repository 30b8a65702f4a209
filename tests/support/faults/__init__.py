"""Real workers under faults: killed, stopped, cut off from their database, out of disk space.

`crew` keeps the workers running, `chaos` injects faults by a seeded schedule, `audit` looks at what
is left, `rounds` puts them together. Tests use the parts; `scripts/bench faults` runs rounds for as
long as it is told to.
"""

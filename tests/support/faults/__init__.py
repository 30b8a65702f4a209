"""Real workers under faults: killed, stopped, without their database, without disk space.

`processes` runs the workers, `chaos` injects faults on a seeded schedule, `audit` checks the
finished study, and `rounds` combines them. Tests use the parts; `scripts/bench faults` runs rounds
for as long as requested.
"""

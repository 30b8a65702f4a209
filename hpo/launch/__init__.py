"""Starts workers: on this machine, on Ray, on Slurm or on Kubernetes.

Trains single configurations and refits in this process.

Does not know: how a trial is trained.
"""

"""Starts workers: on this machine, on Ray, on Slurm or on Kubernetes.

Does not know: how a trial is trained.
"""

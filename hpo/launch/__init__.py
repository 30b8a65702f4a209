"""Where workers run: this machine, Ray, Slurm or Kubernetes.

Does not know: how a trial is trained.
"""

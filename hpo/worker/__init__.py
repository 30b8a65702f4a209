"""The worker: takes trials from studies, trains them on its device, reports and tells.

Does not know: Optuna, SQL, exports, how it was launched.
"""

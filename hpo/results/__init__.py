"""What a study yields: exported models, ensembles, reports and logs.

Does not know: workers.
"""

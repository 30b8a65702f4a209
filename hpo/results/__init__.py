"""What comes out of a study: exported winners, ensembles, reports and logs.

Does not know: workers.
"""

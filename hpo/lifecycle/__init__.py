"""A study together with its files: drafted, created, confirmed, copied, cleared away.

Does not know: workers.
"""

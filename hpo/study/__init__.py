"""Studies as they persist: budget, orders, status, samplers, pruners, the leaderboard.

Does not know: torch, polars.
"""

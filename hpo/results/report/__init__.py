"""The report of a study: one HTML file that opens offline.

For others: `writing.write_report`.
"""

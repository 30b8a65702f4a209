"""The report of a study: one HTML file that opens offline.

For others: `page.write_report`.
"""

"""Worker: claims trials of studies, trains them on its device, reports and tells them.

Does not know: Optuna, SQL, exports, how it was launched.
"""

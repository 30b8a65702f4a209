"""Studies as they persist: who draws, who ends, what people order, what is seen.

Does not know: tensors, tables, files.
"""

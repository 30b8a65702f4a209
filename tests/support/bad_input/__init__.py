"""Bad input: drawn and mutated study files, search spaces, tables, model files and HTTP requests.

`mutations` draws and mutates values and bytes. `files` and `requests` make inputs of one kind and
use them as commands do. `trying` counts the ends and collects failures. Tests try a few seeds of
each kind, `scripts/bench bad-input` tries thousands.
"""

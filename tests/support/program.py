"""`python -m tests.support.program CODE ARGUMENTS`: like `python -c`, but `forked` can fork it."""

import sys

PROGRAM = (sys.executable, "-m", "tests.support.program")

if __name__ == "__main__":
    exec(compile(sys.argv.pop(1), "<program>", "exec"))

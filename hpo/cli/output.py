"""What commands print: data to standard output, messages to standard error."""

import json
import sys
from typing import Any


def say(*lines: str) -> None:
    """Print lines to standard error."""
    for line in lines:
        print(line, file=sys.stderr, flush=True)


def print_json(document: Any) -> None:
    """Print one JSON document to standard output."""
    print(json.dumps(document, indent=2, ensure_ascii=False))

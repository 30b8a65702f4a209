"""The texts that tables may hold for a category, for programs that cannot clean tables.

The inverse of what `hpo.data.sources` and `text_of` do, space around a text apart.
"""

from hpo.data.sources import BOOLEANS, MISSING


def spellings(value: str) -> list[str]:
    """Every text that means a category, itself first."""
    if value == "":
        return list(MISSING)
    words = [value, *(word for word, meant in BOOLEANS.items() if meant == value)]
    if value.removeprefix("-").isdecimal():
        words.append(f"{value}.0")
    return words

"""Folders of this checkout."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
EARLIER_VERSIONS = ROOT / "tests/earlier_versions"
"""Files that earlier versions of hpo wrote."""

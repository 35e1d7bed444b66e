"""What finished runs came to, in benchmarks/NAME_runs.json: a benchmark of many long runs resumes, on any host."""

import json
from pathlib import Path
from typing import Any


def read_kept(name: str) -> dict[str, Any]:
    """Of the benchmark NAME, by the runs' own names."""
    path = _path(name)
    return json.loads(path.read_text()) if path.exists() else {}


def keep(name: str, found: dict[str, Any]) -> None:
    """Add runs, or replace them."""
    _path(name).write_text(json.dumps(read_kept(name) | found, indent=1, sort_keys=True) + "\n")


def _path(name: str) -> Path:
    return Path(__file__).parent / f"{name}_runs.json"

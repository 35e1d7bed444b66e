"""What every benchmark ends with: a table on the screen, and the same numbers as JSON beside this file."""

import json
import os
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any


def write_table(name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], packages: Sequence[str] = ()) -> None:
    """Print `rows` under `columns` as Markdown and write them to benchmarks/NAME.json, with the versions that ran."""
    cells = [[f"{cell:,.2f}" if isinstance(cell, float) else str(cell) for cell in row] for row in [columns, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(columns))]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    print("\n".join(lines), flush=True)
    content = {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "packages": {package: metadata.version(package) for package in packages},
        "columns": list(columns),
        "rows": [list(row) for row in rows],
    }
    path = Path(__file__).parent / f"{name}.json"
    path.write_text(json.dumps(content, indent=1) + "\n")
    print(f"written to {path}")

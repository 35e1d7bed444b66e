"""Files for the readers: small ones that a test writes, and the real ones beside the project."""

from pathlib import Path

import pytest

REAL = Path(__file__).parents[3] / "shared" / "tasks"


@pytest.fixture
def real():
    """real(name) -> the path of a real labelled file."""
    if not REAL.is_dir():
        pytest.skip("no labelled data beside the project")
    return lambda name: str(REAL / name)


@pytest.fixture
def write(tmp_path):
    """write(name, content) -> its path; content is text or bytes."""

    def written(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return written

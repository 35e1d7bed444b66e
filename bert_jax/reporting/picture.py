"""A drawing as a picture file: --picture of the verb `report`."""

import io

from etils import epath
from matplotlib.figure import Figure

from bert_jax.errors import UserError
from bert_jax.storage.paths import check_file
from bert_jax.storage.whole_file import whole_file

# How a file of each kind begins; matplotlib lists more kinds, some of which need LaTeX.
_BEGINNINGS = {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}


def check_picture(path: epath.PathLike) -> None:
    """Raise UserError if `path`, that of --picture, does not end in its kind, or cannot be written; called before work.

    A file that is there is written anew if it is a picture of this kind.
    """
    kind = _kind(path)
    if kind not in _BEGINNINGS:
        raise UserError(f"--picture={path} does not say what to draw; give a name that ends in .svg, .png or .pdf")
    check_file(path, "picture", _BEGINNINGS[kind])


def write_figure(figure: Figure, path: epath.PathLike) -> None:
    """Write a picture of the kind that the name ends in, whole, in place of the one that may be there."""
    content = io.BytesIO()  # not into the file: matplotlib seeks in what it writes
    figure.savefig(content, format=_kind(path), dpi=200)
    with whole_file(path) as file:
        file.write(content.getvalue())


def _kind(path: epath.PathLike) -> str:
    return epath.Path(path).suffix.removeprefix(".")

"""The lines of a vocab.txt, WordPiece's file, as they are: whatever stands on line N + 1 is the token of id N.

Somebody's vocab.txt is a list of rows of somebody's embedding, so no line is ever dropped, moved or refused.
"""

import json
import re
from collections.abc import Sequence

from absl import logging
from etils import epath

from bert_jax.errors import UserError

_NUMBER_BEHIND = re.compile(r"\S[ \t]+[-+]?[\d.]+(?:e[-+]?\d+)?\s*$", re.MULTILINE)
_GIT_LFS = "version https://git-lfs.github.com/spec/"
_WEB_PAGE = re.compile(r"\s*<(!doctype|html)\b", re.IGNORECASE)


def read_vocab_txt(path: epath.Path) -> list[str]:
    """The token of each id, without white space around it, as in the original.

    Raises:
      UserError: it is not UTF-8, or is a file of another kind.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")  # with or without a byte order mark, which is no token's
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text ({error.reason}); is it a vocab.txt?") from None
    # Only "\n" ends a line: vocabularies hold characters at which str.splitlines() would split too.
    tokens = [line.strip() for line in text.removesuffix("\n").split("\n")]
    if complaint := _other_kind(text, tokens):
        raise UserError(f"{path} {complaint}")
    return tokens


def warn_of_duplicates(tokens: Sequence[str], path: epath.Path) -> None:
    """Log one warning if a token has several ids. The last is its id in texts, as in google-research/bert.

    Its package on PyPI takes the first, and leaves out rows.
    """
    last = {token: token_id for token_id, token in enumerate(tokens)}
    again = [token_id for token_id, token in enumerate(tokens) if last[token] != token_id]
    if again:
        logging.warning(
            "%s holds %d tokens more than once, such as %r (ids %d and %d): texts get the last id of each, as in the "
            "original, and the ids of all others stay",
            *(path, len({tokens[token_id] for token_id in again}), tokens[again[0]], again[0], last[tokens[again[0]]]),
        )


def _other_kind(text: str, tokens: Sequence[str]) -> str | None:
    """What a file is that is no vocab.txt, and what to do."""
    if text.startswith(_GIT_LFS):
        return "is a pointer of Git LFS and not the file itself; fetch that with git lfs pull"
    if _WEB_PAGE.match(text):
        return "is a web page (HTML) and not the file that it shows; download that"
    if _is_json(text):
        return (
            "is JSON, and a vocab.txt holds one token a line; give a tokenizer.json under that name, "
            "or write the tokens line by line in the order of their ids"
        )
    if 2 * len(_NUMBER_BEHIND.findall(text)) > len(tokens):
        return (
            "holds a number behind each token, and a vocab.txt tokens alone, line by line in the order of their ids; "
            "cut the numbers off (cut -f1), or give SentencePiece's .model instead of its .vocab"
        )
    return None


def _is_json(text: str) -> bool:
    if not text.lstrip().startswith(("{", "[", '"')):
        return False
    try:
        json.loads(text)
    except RecursionError:
        return True
    except ValueError:  # also "[PAD]", at its second character
        return False
    return True

import collections
import importlib.util
import re
from pathlib import Path
from pydoc_data.topics import topics

import pytest

from bert_jax.text.load_tokenizer import load_tokenizer


def load_beside(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def records():
    """The module records.py beside this file."""
    return load_beside("records")


@pytest.fixture(scope="session")
def plain():
    """The module plain_generator.py beside this file."""
    return load_beside("plain_generator")


@pytest.fixture(scope="session")
def text(tmp_path_factory):
    """Real text: Python's own reference, a topic a document, a line a sentence."""
    path = tmp_path_factory.mktemp("text") / "topics.txt"
    documents = (re.sub(r"\n\s*\n", "\n", topics[name]).strip() for name in sorted(topics))
    path.write_text("\n\n".join(documents), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def vocab(text):
    """A vocab.txt of the text's commonest words, and its characters as pieces."""
    words = collections.Counter(re.findall(r"\w+|[^\w\s]", text.read_text(encoding="utf-8").lower()))
    characters = sorted({character for word in words for character in word})
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters, *("##" + c for c in characters)]
    common = [word for word, _ in words.most_common(1500) if len(word) > 1]
    path = text.with_name("vocab.txt")
    path.write_text("\n".join(pieces + common) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tokenizer(vocab):
    return load_tokenizer(vocab)

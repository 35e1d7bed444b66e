"""A page read back as a browser reads it."""

import itertools
from html.parser import HTMLParser

import pytest

VOID = {"meta", "link", "img", "br", "hr", "input", "use", "path"}


class Page(HTMLParser):
    """Elements, attributes and text; fails on a tag that is not closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.text, self.cells = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)
        if self.open and self.open[-1] == "td":
            self.cells.append(data)

    def rows(self):
        """Neighbouring cells of the tables of two columns."""
        return itertools.pairwise(self.cells)

    def words(self):
        return " ".join("".join(self.text).split())


@pytest.fixture
def parsed():
    """parsed(path) -> its Page."""
    return lambda path: Page(path.read_text())


@pytest.fixture(scope="session")
def seeds(chain, made_once):
    """Runs as `finished_run`, seed 0, with two other seeds."""

    def make(directory):
        for seed in (1, 2):
            flags = [f"--config.train.seed={seed}", "--config.evaluation.every_steps=10"]
            chain.pretrain(directory / f"seed_{seed}", *flags)

    directory = made_once("seeds", make)
    return [directory / "seed_1", directory / "seed_2"]

"""The documentation of this very environment, judged with ast and by reading it back."""

import ast
import inspect
import subprocess
import sys
import warnings
from itertools import accumulate, islice

import pytest

from bert_jax.text import python_docs


def docstrings_by_ast(file):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(file.read_text(encoding="utf-8"))
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = [ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, owners)]
    return {docstring.strip() for docstring in found if docstring}


@pytest.mark.slow
def test_nearly_all_docstrings_of_the_standard_library_are_found_and_nothing_else():
    wanted = found = right = 0
    for file in python_docs._module_files()[:500]:
        theirs = docstrings_by_ast(file)
        ours = {docstring.strip() for docstring in python_docs._docstrings(file)} - {""}
        wanted += sum(map(len, theirs))
        found += sum(map(len, ours))
        right += sum(map(len, ours & theirs))
    assert wanted > 1e6
    assert right > 0.97 * wanted
    assert right > 0.97 * found


def test_docstrings_come_in_source_order_with_escapes_read(tmp_path):
    file = tmp_path / "module.py"
    file.write_text(
        '# a comment\n\n"""The module\'s \\u00e9tude."""\n\nclass C:  # a note\n    r"""A raw \\d class.\n\n'
        "    More of it.\n    \"\"\"\n\n    def f(\n        self,\n    ):\n        '''A \"quoted\" function.'''\n"
        '        text = """not a docstring"""\n        return {"key":\n  text}\n'
    )
    assert python_docs._docstrings(file) == [
        "The module's étude.",
        "A raw \\d class.\n\nMore of it.",
        'A "quoted" function.',
    ]


def test_half_of_a_surrogate_pair_is_no_text(tmp_path):
    (tmp_path / "module.py").write_text(r'''"""Half of a pair: \ud800 is none."""''')
    assert python_docs._docstrings(tmp_path / "module.py") == ["Half of a pair: ? is none."]


def test_docstrings_become_prose():
    docstring = inspect.cleandoc(
        """
        Return the :class:`~collections.OrderedDict` of ``names`` that
        were given. See also `more
        words of this kind`.

        Args:
            first: the first of all of the names,
                as a string.
            second: what comes after the first one.

        Example of use that is left out::

            >>> names = given("this", "that")
            ['this', 'that']

        * An item of a list of
          several words.
        * Another item of the same list.

        | a | table | 1 | 2 |
        +---+-------+---+---+

        x = {"a": [1, 2]}; y(x)["a"] += 3
        """
    )
    assert list(python_docs._paragraphs(docstring)) == [
        "Return the collections.OrderedDict of names that were given. See also more words of this kind.",
        "first: the first of all of the names, as a string.",
        "second: what comes after the first one.",
        "Example of use that is left out::",
        "An item of a list of several words.",
        "Another item of the same list.",
    ]


@pytest.mark.slow
def test_no_paragraph_comes_twice_and_no_document_is_one_sentence():
    documents = list(islice(python_docs.documents(), 800))
    assert all(len(document) >= 2 and all(document) for document in documents)
    assert all(line == line.strip() and "\n" not in line for document in documents for line in document)
    seen = set()
    text = ["This is said twice. It is.", "This is said twice. It is.", "This is said once and once only."]
    assert list(python_docs._document(text, seen)) == [
        ["This is said twice.", "It is.", "This is said once and once only."]
    ]
    assert list(python_docs._document(text, seen)) == []


@pytest.mark.slow
def test_every_process_reads_the_same():
    program = (
        "import hashlib, itertools, json\nfrom bert_jax.text import python_docs\n"
        "documents = list(itertools.islice(python_docs.documents(), 1500))\n"
        "print(hashlib.sha256(json.dumps(documents).encode()).hexdigest())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


@pytest.mark.slow
def test_there_is_plenty():
    sizes = accumulate(sum(map(len, document)) for document in python_docs.documents())
    assert next(size for size in sizes if size > 5_000_000)

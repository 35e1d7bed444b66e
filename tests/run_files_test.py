"""The JSON files of a run, damaged in every place: what reads them says so in one line with the path, or reads on."""

import copy
import json

import pytest
from etils import epath

from bert_jax.config import Config, PhaseConfig
from bert_jax.config.file import to_json
from bert_jax.errors import UserError
from bert_jax.objectives.pretraining_metrics import METRICS
from bert_jax.reporting.charts import charts
from bert_jax.reporting.facts import results, work
from bert_jax.reporting.page import _settings, write_report
from bert_jax.reporting.pretraining_page import verdict
from bert_jax.reporting.run_history import read_run
from bert_jax.reporting.sentences import readable
from bert_jax.storage.new_directory import check_replaceable
from bert_jax.workdir.goodput import goodput, read_starts
from bert_jax.workdir.run_directory import read_config
from bert_jax.workdir.step_log import lines_up_to
from bert_jax.workdir.trained import _validation

SAMPLE = {
    "tokens": ["[CLS]", "[MASK]", "b", "[SEP]"],
    "predictions": [{"position": 1, "label": "a", "guesses": [["a", 0.5], ["b", 0.25]]}],
    "next_sentence": {"label": "random", "probability_next": 0.8},
}
OF_ORDER = SAMPLE | {"next_sentence": None, "sentence_order": {"label": "in_order", "probability_in_order": 0.8}}
ALIGNED = SAMPLE | {"next_sentence": None, "alignment": {"label": "aligned", "probability_aligned": 0.8}}
FILES = {
    "config.json": json.loads(to_json(Config(phases=(PhaseConfig(steps=10), PhaseConfig(steps=5))))),
    "metrics.jsonl": [
        {"split": "train", "step": 5, "time": 1e9, "masked_lm_loss": 3.5, "mfu": 0.4, "tokens_per_second": 3.0},
        {"split": "validation", "step": 10, "time": 1e9 + 5, "masked_lm_loss": 3.0, "unigram_loss": 3.5},
    ],
    "runs.jsonl": [{"started": 1e9, "ended": 1e9 + 9, "from_step": 0, "to_step": 10, "seconds": {"steps": 7.5}}],
    "samples.json": [SAMPLE, OF_ORDER, ALIGNED],
    "skipped.jsonl": [{"step": 3, "phase": 0, "records": [1, 2], "loss": "nan", "gradient_norm": 1.0}],
    "export.json": {"files": ["README.md", "weights.npz"]},
}


@pytest.fixture
def workdir(tmp_path):
    for name, content in FILES.items():
        write(tmp_path / name, content)
    return epath.Path(tmp_path)


def write(path, content):
    lines = content if path.suffix == ".jsonl" and isinstance(content, list) else [content]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def read_report(workdir):
    """All that the page is made of, without the drawing of its curves."""
    run = read_run(workdir)
    facts = results(run, METRICS), verdict(run), work(run)
    return charts(run, METRICS), facts, _settings(run.config), [readable(sample) for sample in run.samples]


READERS = {
    "config.json": [read_config, read_report],
    "metrics.jsonl": [
        lambda workdir: lines_up_to(5, workdir / "metrics.jsonl"),
        lambda workdir: _validation(workdir / "metrics.jsonl", 10),
        read_report,
    ],
    "runs.jsonl": [lambda workdir: goodput(read_starts(workdir)), read_report],
    "samples.json": [read_report],
    "skipped.jsonl": [lambda workdir: lines_up_to(5, workdir / "skipped.jsonl")],
    "export.json": [lambda workdir: check_replaceable(workdir)],
}


def outcome(read, workdir):
    """None if it was read, else the error."""
    try:
        read(workdir)
    except UserError as error:
        found = str(error)
    else:
        return None
    assert "\n" not in found
    assert str(workdir) in found
    return found


def places(value):
    """Every place in a JSON value, as the keys that lead there."""
    yield ()
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        for rest in places(item):
            yield (key, *rest)


def put(content, place, value):
    """A copy of `content` with `value` at `place`, or without it."""
    content = copy.deepcopy(content)
    if not place:
        return value
    holder = content
    for key in place[:-1]:
        holder = holder[key]
    if value is ...:
        del holder[place[-1]]
    else:
        holder[place[-1]] = value
    return content


@pytest.mark.parametrize("name", FILES)
def test_what_a_run_wrote_is_read(workdir, name):
    for read in READERS[name]:
        if name == "export.json":
            with pytest.raises(UserError, match="which no export wrote"):  # the other files of this directory
                read(workdir)
        else:
            read(workdir)


@pytest.mark.parametrize("name", FILES)
def test_damage_in_any_place_is_one_line_or_read_over(workdir, name):
    said = 0
    for place in places(FILES[name]):
        for value in (None, "x", "\ud800", -1, 10**30, float("inf"), float("nan"), [], {}, [[]], ["x"], True, ...):
            if value is ... and not place:
                continue
            write(workdir / name, put(FILES[name], place, value))
            said += sum(outcome(read, workdir) is not None for read in READERS[name])
    assert said > 10


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe\n", b"null\n", b"3\n", b'"x"\n', b"[" * 100_000 + b"\n", b"9" * 5000 + b"\n", b"{\n", b"\0\n"],
)
@pytest.mark.parametrize("name", FILES)
def test_what_is_no_json_of_ours_is_one_line(workdir, name, content):
    (workdir / name).write_bytes(content)
    for read in READERS[name]:
        found = outcome(read, workdir)
        empty_log = name.endswith(".jsonl") and not content
        assert (found is None) == empty_log
        if found:
            assert found.startswith(f"{workdir}/{name}"), found


def test_a_setting_as_text_is_reported_as_such(workdir):
    write(workdir / "config.json", put(FILES["config.json"], ("model", "hidden_size"), "768"))
    with pytest.raises(
        UserError, match=r"/config.json is .* Expected `int`, got `str` at `model.hidden_size`; .*--workdir"
    ):
        read_config(workdir)


def test_settings_of_another_version_are_shown_in_the_report_and_refused_by_a_run(workdir):
    write(workdir / "config.json", put(FILES["config.json"], ("model", "wings"), 2))
    assert "wings" in write_report(workdir).read_text()
    with pytest.raises(UserError, match=r"/config.json is of another version of bert_jax: `model.wings` is no setting"):
        read_config(workdir)

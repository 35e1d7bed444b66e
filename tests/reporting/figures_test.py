"""The curves as drawn: read back from the SVG itself."""

import math
import re
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from bert_jax.errors import UserError
from bert_jax.objectives.pretraining_metrics import METRICS
from bert_jax.reporting.charts import charts
from bert_jax.reporting.figures import save_picture, svg
from bert_jax.reporting.look import COLOURS
from bert_jax.reporting.run_history import Run

NAMESPACE = "{http://www.w3.org/2000/svg}"


def line(split, step, **values):
    return {"split": split, "step": step, "time": float(step), **values}


@pytest.fixture
def run():
    phases = [{"steps": 900, "max_seq_length": 128}, {"steps": 100, "max_seq_length": 512}]
    train = [
        line("train", s, masked_lm_loss=9 - s / 250, learning_rate=1e-4, tokens_per_second=9e3)
        for s in range(10, 1001, 10)
    ]
    held_out = [line("validation", s, masked_lm_loss=9 - s / 260, unigram_loss=5.88) for s in (500, 1000)]
    return Run("run", {"phases": phases}, train + held_out, [])


def texts(element):
    return ["".join(text.itertext()).strip() for text in ElementTree.fromstring(element).iter(f"{NAMESPACE}text")]


def curve(element, name):
    """Points of the longest line in the colour of that name, in SVG units (y grows downwards)."""
    paths = [
        re.findall(r"[ML] (\S+) (\S+)", path.get("d"))
        for path in ElementTree.fromstring(element).iter(f"{NAMESPACE}path")
        if f"stroke: var(--{name})" in (path.get("style") or "") and path.get("clip-path")
    ]
    return [(float(x), float(y)) for x, y in max(paths, key=len)]


def test_curve_floor_and_phase_are_drawn_and_named(run):
    loss = svg(charts(run, METRICS)[0], 6, 3)
    assert {"training", "held-out", "unigram floor 5.88", "5.15", "512 tokens →", "step", "1,000"} <= set(texts(loss))
    train, floor = curve(loss, "train"), curve(loss, "floor")
    assert len(train) == 100
    # The curve falls through the floor at 9 - s/250 = 5.88, s = 780, and the floor goes from edge to edge.
    crossing = next(x for x, y in train if y > floor[0][1])
    left, right = floor[0][0], floor[-1][0]
    assert left + (right - left) * 0.77 < crossing < left + (right - left) * 0.80
    assert floor[0][1] == floor[-1][1]


def test_colours_are_variables_that_a_page_can_set(run):
    assert len(set(COLOURS.values())) == len(COLOURS)
    drawn = svg(charts(run, METRICS)[0], 6, 3)
    assert not [colour for colour in re.findall(r"#[0-9a-f]{6}\b", drawn) if colour != "#000000"]
    assert {"train", "held-out", "floor", "ink", "faint", "grid"} <= set(re.findall(r"var\(--([a-z-]+)\)", drawn))


def test_drawings_of_one_page_do_not_share_ids(run):
    drawings = [svg(chart, width, 3) for chart in charts(run, METRICS) for width in (4.6, 9.0)]
    ids = [set(re.findall(r'\bid="([^"]+)"', drawing)) for drawing in drawings]
    assert sum(map(len, ids)) == len(set().union(*ids)) > 0
    for drawing, own in zip(drawings, ids, strict=True):
        assert set(re.findall(r"(?:url\(|href=\")#([^\")]+)", drawing)) <= own


def test_a_long_run_is_thinned_and_keeps_its_end():
    lines = [line("train", s, learning_rate=2 + math.sin(s / 1000) if s < 99_999 else 0) for s in range(100_000)]
    drawn = svg(charts(Run("run", {}, lines, []), METRICS)[0], 6, 3)
    points = curve(drawn, "train")
    assert 200 < len(points) < 400
    assert points[-1][1] == max(y for _, y in points)  # down to 0 at the very last step
    assert len(drawn) < 60_000


@pytest.mark.parametrize("steps", [0, 1, 7])
def test_one_point_can_be_drawn(steps):
    one = Run("run", {}, [line("validation", steps, masked_lm_loss=9.0, unigram_loss=9.0)], [])
    assert "9.00" in texts(svg(charts(one, METRICS)[0], 4, 3))


def test_a_picture_file(run, tmp_path):
    save_picture(run, METRICS, tmp_path / "curves.png")
    save_picture(run, METRICS, tmp_path / "curves.svg")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "curves.png").stat().st_size > 10_000
    titles = re.findall(r"<!-- (.*?) -->", (tmp_path / "curves.svg").read_text())
    assert METRICS[0].title in titles


def test_pictures_that_cannot_be_drawn_are_one_line(tmp_path):
    with pytest.raises(UserError, match=r"--picture=.*x\.svg: run has logged nothing to draw yet"):
        save_picture(Run("run", {}, [], []), METRICS, tmp_path / "x.svg")
    assert not list(tmp_path.iterdir())


SAME_AGAIN = """
import sys
from bert_jax.objectives.pretraining_metrics import METRICS
from bert_jax.reporting.charts import charts
from bert_jax.reporting.figures import svg
from bert_jax.reporting.run_history import Run
lines = [{"split": "train", "step": s, "time": 0.0, "masked_lm_loss": 9.0 - s} for s in range(5)]
sys.stdout.write(svg(charts(Run("run", {}, lines, []), METRICS)[0], 6, 3))
"""


def test_same_run_same_bytes_in_another_process():
    lines = [line("train", s, masked_lm_loss=9.0 - s) for s in range(5)]
    here = svg(charts(Run("run", {}, lines, []), METRICS)[0], 6, 3)
    there = subprocess.run([sys.executable, "-c", SAME_AGAIN], capture_output=True, text=True, check=True).stdout
    assert here == there

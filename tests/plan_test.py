import dataclasses
import importlib.util
import json
import math
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from bert_jax.config import ModelConfig
from bert_jax.objectives.pretraining import PretrainingObjective
from tests.layer_fields import FIELDS
from tests.verbs import Verbs

ROOT = Path(__file__).parent.parent
needs_libtpu = pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="libtpu is not installed")

SMALL = """
from bert_jax.config import Config, ModelConfig, PhaseConfig, TrainConfig


def get_config():
    return Config(
        model=ModelConfig(
            hidden_size=128, num_hidden_layers=1, num_attention_heads=2, intermediate_size=512,
        ),
        phases=(PhaseConfig(steps=900_000, global_batch_size=64, max_seq_length=128),),
        train=TrainConfig(dtype="bfloat16"),
    )
"""
LARGE = str(ROOT / "configs" / "bert_large.py")


@pytest.fixture(scope="module")
def plan():
    """plan(*flags) -> the finished process of the command. The TPU compiler refuses flags of the one for CPUs."""
    those = Verbs(environment={})
    yield lambda *flags: those.run("plan", *flags)
    those.close()


def last_line(done):
    return done.stderr.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("plan") / "small.py"
    path.write_text(SMALL)
    return path


@pytest.fixture(scope="module")
def planned(plan, small):
    """Two slices planned by the command: what it printed, the JSON and the directory of compiled texts."""
    done = plan(
        f"--config={small}",
        "--topology=v3:2x2,v5e:1x1",
        "--config.data.records=none/{max_seq_length}",
        "--price_per_chip_hour=2",
        f"--json={small.parent / 'plan.json'}",
        f"--hlo_dir={small.parent / 'hlo'}",
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads((small.parent / "plan.json").read_text())["plans"], small.parent / "hlo"


@pytest.mark.slow
@needs_libtpu
def test_flops_agree_with_the_formula(planned):
    model = ModelConfig(
        vocab_size=30_522, hidden_size=128, num_hidden_layers=1, num_attention_heads=2, intermediate_size=512
    )
    formula = 64 * PretrainingObjective(model).flops_per_row(128, 20)
    for made in planned[1]:
        phase = made["phases"][0]
        assert sum(phase["product_flops"].values()) == pytest.approx(formula, rel=0.02)
        assert phase["model_flops"] == formula


@pytest.mark.slow
@needs_libtpu
def test_memory_is_told_by_kind_and_fits(planned):
    for made in planned[1]:
        phase = made["phases"][0]
        assert phase["problem"] == ""
        assert sum(phase["memory_bytes"].values()) == phase["memory_needed_bytes"] < phase["memory_limit_bytes"]
    on_eight, on_one = (made["phases"][0]["memory_bytes"] for made in planned[1])
    assert on_one["parameters"] > (30_522 + 512) * 128 * 4  # the word and position embeddings alone
    assert on_eight["parameters"] <= on_one["parameters"]
    assert on_one["optimizer state"] == pytest.approx(2 * on_one["parameters"], rel=0.01)
    assert on_eight["optimizer state"] < on_one["optimizer state"]  # it is sharded over eight cores


@pytest.mark.slow
@needs_libtpu
def test_time_and_cost_follow_from_the_step(planned):
    for made in planned[1]:
        phase = made["phases"][0]
        assert sum(phase["seconds_by_part"].values()) == pytest.approx(phase["step_seconds"])
        assert {"attention", "feed-forward", "embeddings", "heads", "optimizer"} <= set(phase["seconds_by_part"])
        assert made["hours"] == pytest.approx(phase["step_seconds"] * 900_000 / 3600)
        assert made["cost"] == pytest.approx(2 * made["hours"] * made["chips"])
        assert 0 < phase["mfu"] < 1
        assert phase["cycles"] > 0


@pytest.mark.slow
@needs_libtpu
def test_parts_are_almost_all_of_the_step(planned):
    for made in planned[1]:
        parts = made["phases"][0]["seconds_by_part"]
        assert parts["other"] < 0.1 * sum(parts.values())


@pytest.mark.slow
@needs_libtpu
def test_several_devices_exchange_the_gradients(planned):
    on_eight, on_one = (made["phases"][0]["collectives"] for made in planned[1])
    assert on_one == []
    parameters = planned[1][0]["phases"][0]["memory_bytes"]["parameters"] // 4
    assert sum(each["bytes"] for each in on_eight) > 2 * parameters  # at least in bfloat16


@pytest.mark.slow
@needs_libtpu
def test_what_it_prints(planned):
    printed, _, texts = planned
    assert "not a measurement" in printed
    assert "v3:2x2: 4 chip(s), 8 device(s)" in printed
    assert printed.rstrip().splitlines()[-2].startswith("v3:2x2")  # the comparing table
    assert {path.relative_to(texts).as_posix() for path in texts.glob("*/*")} == {"v3:2x2/0.txt", "v5e:1x1/0.txt"}
    assert (texts / "v5e:1x1" / "0.txt").read_text().startswith("HloModule")


@pytest.mark.slow
@needs_libtpu
@pytest.mark.timeout(1500)
@pytest.mark.parametrize(
    ("flags", "length", "rows"),
    [
        (["num_hidden_layers=1", "hidden_size=128", "num_attention_heads=2", "intermediate_size=512"], 128, 131_072),
        pytest.param([], 512, 2048, marks=pytest.mark.slow),  # 256 rows a core
    ],
    ids=["little", "large"],
)
def test_what_does_not_fit_and_what_would(plan, tmp_path, flags, length, rows):
    done = plan(
        f"--config={LARGE}",
        "--topology=v2:2x2",
        *(f"--config.model.{flag}" for flag in flags),
        f"--config.phases[0].max_seq_length={length}",
        f"--config.phases[0].global_batch_size={rows}",
        "--config.phases[1].max_seq_length=128",
        "--config.phases[1].global_batch_size=256",
        f"--json={tmp_path / 'plan.json'}",
    )
    assert done.returncode == 0, done.stderr
    (made,) = json.loads((tmp_path / "plan.json").read_text())["plans"]
    large, little = made["phases"]
    assert large["problem"] == "does not fit"
    assert large["memory_needed_bytes"] > large["memory_limit_bytes"]
    assert large["remedy"].startswith(
        ("it fits with --config.train.", "it fits with --config.phases[0].accumulation_steps=")
    )
    assert (little["problem"], little["remedy"]) == ("", "")
    assert "DOES NOT FIT" in done.stdout
    assert made["hours"] is None
    assert math.isclose(large["memory_limit_bytes"], 7.5 * 2**30, rel_tol=0.1)


def test_a_plan_for_this_hosts_cpu(tmp_path, chain):
    """Sizes come from the records, where they are there."""
    done = chain.run(
        "plan",
        f"--config={ROOT / 'tests' / 'configs' / 'one_phase.py'}",
        f"--config.data.records={chain.directory}/records-{{max_seq_length}}",
        "--topology=cpu:2",
        f"--json={tmp_path / 'plan.json'}",
        f"--hlo_dir={tmp_path}",
    )
    assert done.returncode == 0, done.stderr
    (phase,) = json.loads((tmp_path / "plan.json").read_text())["plans"][0]["phases"]
    assert phase["max_predictions_per_seq"] == 6
    assert phase["mfu"] is None
    assert phase["step_seconds"] > 0
    assert "less than any real step takes" in done.stdout.replace("\n", " ")
    assert (tmp_path / "0.txt").read_text().startswith("HloModule")


@pytest.mark.parametrize("topology", ["v9:2x2", "gpu:8", "v3:3x3", "cpu:4097", "cpu:99999", "cpu:65x64"])
def test_an_unknown_topology_is_one_line_before_anything_else(plan, topology):
    done = plan(f"--config={LARGE}", f"--topology=v3:8x8,{topology}")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines() == [last_line(done)]
    assert last_line(done).startswith(f"error: --topology={topology}")
    if topology.startswith("cpu"):
        assert last_line(done).endswith("of this host's CPU at most 4,096 devices; give fewer")


@pytest.mark.slow
def test_without_the_tpu_compiler_the_extra_is_named(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['libtpu'] = None")
    command = [sys.executable, "-m", "bert_jax.plan", f"--config={LARGE}", "--topology=v3:8x8"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines() == [last_line(done)]
    assert "run launch/setup.sh plan" in last_line(done)


@pytest.mark.slow
def test_layers_that_are_not_berts_have_their_memory_and_their_work(plan, small, tmp_path):
    size = {"vocab_size": 200, "hidden_size": 128, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = ModelConfig(**size, intermediate_size=512, **FIELDS)
    flags = [f"--config.model.{name}={value}" for name, value in FIELDS.items()]
    flags += ["--topology=cpu:1", "--config.data.records=none", "--vocab_size=200", "--config.train.dtype=float32"]
    done = plan(f"--config={small}", *flags, f"--json={tmp_path}/plan.json")
    assert done.returncode == 0, done.stderr
    (phase,) = json.loads((tmp_path / "plan.json").read_text())["plans"][0]["phases"]
    assert phase["memory_bytes"]["parameters"] == 4 * config.parameters
    assert phase["model_flops"] == 64 * PretrainingObjective(config).flops_per_row(128, 20)
    assert sum(phase["product_flops"].values()) == pytest.approx(phase["model_flops"], rel=0.05)
    assert phase["seconds_by_part"]["attention"] > 0


def test_what_shared_layers_save_is_told(plan, tmp_path):
    config = ROOT / "tests" / "configs" / "albert.py"
    model = runpy.run_path(str(config))["get_config"]().model
    apart = dataclasses.replace(model, vocab_size=200, num_hidden_groups=0).parameters
    flags = ("--config.data.records=none", "--vocab_size=200", "--topology=cpu:1", f"--json={tmp_path}/plan.json")
    done = plan(f"--config={config}", *flags)
    assert done.returncode == 0, done.stderr
    (phase,) = json.loads((tmp_path / "plan.json").read_text())["plans"][0]["phases"]
    shared = phase["memory_bytes"]["parameters"] // 4
    assert f"3 layers with the weights of 1: {shared:,} parameters, where layers of their own" in done.stdout
    assert f"would make {apart:,}; parameters, optimizer state" in done.stdout
    assert f"are {shared / apart:.0%} of theirs" in done.stdout


@pytest.mark.slow
def test_packed_rows_are_those_that_pretrain_makes(chain, tmp_path):
    flags = (
        f"--config={ROOT}/tests/configs/one_phase.py",
        f"--config.data.records={chain.records(64)}",
        "--config.phases[0].max_seq_length=64",
        "--config.phases[0].global_batch_size=64",
        "--config.model.num_hidden_layers=2",  # of one, what is counted for queries alone is more than 2 %
        "--config.phases[0].packed_rows=48",  # these sequences are long: nearly each fills a row
        "--config.data.packing=true",
    )
    out = tmp_path / "plan.json"
    done = chain.run("plan", *flags, "--topology=cpu:1", f"--json={out}")
    assert done.returncode == 0, done.stderr
    (phase,) = json.loads(out.read_text())["plans"][0]["phases"]
    logged = re.search(r"packing: (\d+) sequences a step in (\d+) rows", done.stderr)
    assert (phase["global_batch_size"], phase["rows"]) == tuple(map(int, logged.groups())) == (64, 48)
    assert sum(phase["product_flops"].values()) == pytest.approx(phase["model_flops"], rel=0.02)


def test_packing_without_records_is_one_line(plan, small, tmp_path):
    done = plan(
        f"--config={small}", "--topology=cpu:1", "--config.data.packing=true", f"--config.data.records={tmp_path}/none"
    )
    assert done.returncode == 1
    assert last_line(done).startswith(f"error: records directory {tmp_path}/none does not exist")


def test_a_batch_that_does_not_divide_is_one_line(plan, small):
    done = plan(f"--config={small}", "--topology=cpu:2", "--config.phases[0].global_batch_size=3")
    assert done.returncode == 1
    assert last_line(done).startswith("error: global_batch_size=3")


@pytest.mark.parametrize("topology", ["cpu:1", pytest.param("v3:2x2", marks=needs_libtpu)])
def test_a_compiler_that_takes_too_long_is_reported(plan, small, tmp_path, topology):
    done = plan(f"--config={small}", f"--topology={topology}", "--compile_minutes=0.01", f"--json={tmp_path}/plan.json")
    assert done.returncode == 0
    assert "the compiler took longer than 0.6 s (--compile_minutes)" in done.stdout
    assert "no time, as a phase has none" in done.stdout
    (made,) = json.loads((tmp_path / "plan.json").read_text())["plans"]
    assert made["phases"][0]["problem"] == "the compiler took longer than 0.6 s (--compile_minutes)"
    assert made["hours"] is None


@pytest.mark.slow
@needs_libtpu
def test_muon_is_the_optimizers_time_and_exchanges_each_matrix_twice(plan, small, tmp_path):
    flags = ("--topology=v5e:2x2", "--config.data.records=none", f"--json={tmp_path}/plan.json")
    done = plan(f"--config={small}", *flags, "--config.optimizer.muon=true")
    assert done.returncode == 0, done.stderr
    (phase,) = json.loads((tmp_path / "plan.json").read_text())["plans"][0]["phases"]
    # Two stacks of squares, which are cut otherwise: three and one, filled up to four; one wide and one tall one, too.
    square, wide = 5 * 6 * 128**3, 5 * (4 * 128**2 * 512 + 2 * 128**3)
    assert phase["product_flops"]["optimizer"] == 4 * (2 * square + 2 * wide)
    assert phase["seconds_by_part"]["optimizer"] > 0
    model = ModelConfig(
        vocab_size=30_522, hidden_size=128, num_hidden_layers=1, num_attention_heads=2, intermediate_size=512
    )
    assert phase["model_flops"] == 64 * PretrainingObjective(model).flops_per_row(128, 20)
    exchanges = [each for each in phase["collectives"] if each["part"] == "optimizer"]
    assert {each["kind"] for each in exchanges} == {"all-to-all"}
    matrices = 4 * (2 * 128 * 128 + 2 * 128 * 512) // 4  # of a device, in bfloat16 there and back
    assert sum(each["bytes"] * each["times"] for each in exchanges) == 2 * 2 * matrices


@pytest.mark.slow
def test_a_teacher_has_its_memory_and_its_time(plan, small, tmp_path):
    text = small.read_text().replace(
        "train=Train", 'teacher="nowhere", distillation=DistillationConfig(cosine_weight=0), train=Train'
    )
    config = tmp_path / "student.py"
    config.write_text(
        text.replace("import Config,", "import Config, DistillationConfig,").replace("steps=900_000", "steps=10")
    )
    flags = ("--topology=cpu:1", "--config.data.records=none", "--vocab_size=200", f"--json={tmp_path}/plan.json")
    done = plan(
        f"--config={config}", *flags, "--config.phases[0].max_seq_length=8", "--config.phases[0].global_batch_size=2"
    )
    assert done.returncode == 0, done.stderr
    assert "--config.teacher=nowhere is not there: planned for a BERT-base as teacher" in done.stderr
    (phase,) = json.loads((tmp_path / "plan.json").read_text())["plans"][0]["phases"]
    # Its encoder and masked-LM head, matrices in bfloat16.
    parameters = ModelConfig(vocab_size=200, next_sentence=False).parameters
    assert 2 * parameters < phase["memory_bytes"]["teacher"] < 2.01 * parameters
    layers = 12 * 2 * 16 * (4 * 768**2 + 2 * 768 * 3072)  # of the products with weights
    assert layers < phase["product_flops"]["teacher"] < 1.2 * layers
    assert phase["model_flops"] > phase["product_flops"]["teacher"] > 0.9 * phase["model_flops"]

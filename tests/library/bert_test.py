"""What a loaded model does, whatever it is: jit, gradients, dropout, lengths, one-line errors; and its process."""

import dataclasses
import logging
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import absl.logging
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath

import bert_jax
from bert_jax.config import Config
from bert_jax.data.batches import record_ids
from bert_jax.data.source import RecordSource
from bert_jax.interchange.exports import ExportOptions
from bert_jax.interchange.foreign_exports import export
from bert_jax.model.functional import flatten
from bert_jax.objectives.pretraining import PretrainingObjective
from bert_jax.parallel.mesh import make_mesh
from bert_jax.training.program import make_program
from bert_jax.training.state import init_state

ROOT = Path(__file__).parents[2]
TEXTS = ["The cat sat on the mat.", ("where is paris?", "It is the capital of France.")]


@pytest.fixture(scope="module")
def model(workdirs):
    return bert_jax.from_config(workdirs.MODEL, workdirs.TOKENIZER)


@pytest.fixture(scope="module")
def tuned(workdirs, tmp_path_factory):
    directory = tmp_path_factory.mktemp("tuned") / "run"
    workdirs.write_workdir(directory, "classification")
    return bert_jax.load(directory)


def test_it_is_pure_under_jit_and_grad(model):
    batch = model.encode(TEXTS)
    plain = model.apply(model.params, batch)
    within = jax.jit(lambda params: model.apply(params, batch).logits)(model.params)
    np.testing.assert_allclose(within, plain.logits, atol=1e-5)

    def loss(params):
        return jnp.square(model.apply(params, batch).pair_logits).sum()

    gradients = jax.grad(loss)(model.params)
    assert jax.tree.structure(gradients) == jax.tree.structure(model.params)
    direction = jax.tree.map(lambda leaf: leaf / 10, gradients)
    moved = [jax.tree.map(lambda leaf, step, by=by: leaf + by * step, model.params, direction) for by in (-0.1, 0.1)]
    slope = (loss(moved[1]) - loss(moved[0])) / 0.2
    expected = sum(jnp.vdot(*leaves) for leaves in zip(*map(jax.tree.leaves, (gradients, direction)), strict=True))
    assert float(slope) == pytest.approx(float(expected), rel=1e-2)


def test_derivatives_are_of_reverse_mode(model):
    """As the docstring says: those of derivatives, too, but not of forward mode."""
    batch, bias = model.encode(TEXTS), model.params["next_sentence"]["bias"]

    def loss(bias):
        head = {**model.params["next_sentence"], "bias": bias}
        outputs = model.apply({**model.params, "next_sentence": head}, batch)
        return jnp.square(outputs.pair_logits).sum()

    np.testing.assert_allclose(jax.jacrev(jax.grad(loss))(bias), 2 * len(TEXTS) * np.eye(2), atol=1e-5)

    def states(table):
        word = {**model.params["encoder"]["embeddings"], "word": {"embedding": table}}
        encoder = {**model.params["encoder"], "embeddings": word}
        return model.apply({**model.params, "encoder": encoder}, batch).hidden_states[-1].sum()

    table = model.params["encoder"]["embeddings"]["word"]["embedding"]
    second = jax.grad(lambda table: jnp.square(jax.grad(states)(table)).sum())(table)
    assert np.isfinite(second).all()
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(states, (table,), (table,))


def test_there_is_dropout_where_training_is_asked_for_with_a_key(model):
    batch = model.encode(TEXTS)

    def states(**how):
        return np.asarray(model.apply(model.params, batch, **how).hidden_states[-1])

    key = jax.random.key(1)
    np.testing.assert_array_equal(states(), states(rng=key))
    dropped = states(training=True, rng=key)
    assert np.abs(dropped - states()).max() > 0.1
    np.testing.assert_array_equal(dropped, states(training=True, rng=jax.random.PRNGKey(1)))
    assert np.abs(dropped - states(training=True, rng=jax.random.key(2))).max() > 0.1


def test_masked_words_alone_have_logits(model):
    batch = model.encode(TEXTS)
    positions = np.array([[1, 3], [2, 0]], np.int32)
    some = model.apply(model.params, batch | {"masked_lm_positions": positions}).logits
    all_of_them = model.apply(model.params, batch).logits
    np.testing.assert_allclose(some, np.take_along_axis(all_of_them, positions[:, :, None], axis=1), atol=1e-5)


def test_bfloat16_is_of_activations(model, workdirs):
    other = bert_jax.from_config(workdirs.MODEL, workdirs.TOKENIZER, dtype="bfloat16")
    outputs = other.apply(model.params, other.encode(TEXTS))
    assert (outputs.hidden_states[-1].dtype, outputs.logits.dtype) == (jnp.bfloat16, jnp.float32)
    plain = model.apply(model.params, model.encode(TEXTS)).hidden_states[-1]
    np.testing.assert_allclose(outputs.hidden_states[-1].astype(np.float32), plain, atol=0.1)


def test_long_texts_are_cut_and_that_is_logged(model, tuned, caplog):
    text = "home " * 60
    batch = model.encode([text, ("good", text)])
    assert batch["input_ids"].shape == (2, 48)
    assert "encode: 2 of 2 texts are longer than 48 tokens: cut" in caplog.text
    assert model.encode([text], max_length=10)["attention_mask"].sum() == 10
    assert tuned.encode([text])["input_ids"].shape == (1, tuned.max_length) == (1, 24)
    for row in range(2):
        of_second = batch["segment_ids"][row] > 0
        spans = batch["offsets"][row][of_second if row else batch["attention_mask"][row] > 0]
        assert {text[start:end] for start, end in spans.tolist()} == {"home", ""}
    assert model.embed([text], long="windows").shape == (1, 32)
    assert caplog.text.count("cut") == 3


def test_weights_are_those_that_a_run_begins_with(model, workdirs):
    config = Config(model=workdirs.MODEL)
    objective, mesh = PretrainingObjective(workdirs.MODEL), make_mesh(config.mesh)
    program = make_program(objective, config.train, config.optimizer, config.phases, mesh)
    state = init_state(program.model, program.optimizer, program.shardings, seed=0)
    for path, leaf in flatten(state["params"]).items():
        np.testing.assert_array_equal(leaf, flatten(model.params)[path], err_msg=path)
    fresh = model.init(jax.random.key(1))
    assert jax.tree.structure(fresh) == jax.tree.structure(model.params)


def test_records_are_read_as_pretraining_reads_them(chain):
    source = RecordSource(chain.records(32), "train")
    batches = bert_jax.read_records(chain.records(32), batch_size=8, seed=5, first_step=3)
    expected = source.fetch(record_ids(3, np.arange(8), 8, len(source), 5).tolist())
    for name, values in next(batches).items():
        np.testing.assert_array_equal(values, expected[name], err_msg=name)
    held_out = list(bert_jax.read_records(chain.records(32), "validation", batch_size=8, in_order=True))
    assert sum(int(batch["input_mask"][:, 0].sum()) for batch in held_out) == len(
        RecordSource(chain.records(32), "validation")
    )
    in_order = {"batch_size": 2, "in_order": True}
    every = [batch["input_ids"] for batch in bert_jax.read_records(chain.records(32), "validation", **in_order)]
    later = bert_jax.read_records(chain.records(32), "validation", first_step=2, **in_order)
    np.testing.assert_array_equal([batch["input_ids"] for batch in later], every[2:])


def applied(model, shape=(2, 8), **arrays):
    """What the model gives for a batch of ones of this shape, with these `arrays` in it."""
    ones = dict.fromkeys(("input_ids", "attention_mask", "segment_ids"), np.ones(shape, np.int32))
    return model.apply(model.params, ones | arrays)


ERRORS = {
    "one text": (lambda model: model.encode("a text"), "texts is 'a text'; give a list of texts"),
    "no text": (lambda model: model.embed([]), "texts is empty"),
    "a number": (lambda model: model.encode(["a", 3]), "text 2 is 3; give a text, or a pair of texts"),
    "too long": (lambda model: model.encode(["a"], max_length=49), "max_length=49 cannot be used; give 4 to 48"),
    "too narrow": (
        lambda model: model.encode(["good " * 9], pad_to=8, max_length=12),
        "pad_to=8 cannot be used; the lon",
    ),
    "too narrow by itself": (
        lambda model: model.encode(["good " * 9], pad_to=8),
        "pad_to=8 cannot be used; the longest text has 11 tokens: give as many, or max_length",
    ),
    "no such layer": (lambda model: model.embed(["a"], layers=[3]), "layers: the model has no layer 3"),
    "one layer": (lambda model: model.embed(["a"], layers=-1), "layers=-1 cannot be used; give a tuple"),
    "no layer": (lambda model: model.embed(["a"], layers=()), "give a tuple of whole numbers, as in (-1, -2)"),
    "no such way": (lambda model: model.embed(["a"], combine="max"), "combine=max cannot be used; give one of concat"),
    "no such length": (lambda model: model.embed(["a"], long="window"), "long=window cannot be used; give cut or"),
    "no guesses": (lambda model: model.fill_mask("a [MASK]", best=0), "best=0 cannot be used; give a whole number"),
    "part of a guess": (lambda model: model.fill_mask("a [MASK]", best=2.5), "best=2.5 cannot be used; give a whole"),
    "nothing to fill": (lambda model: model.fill_mask(["a [MASK]", None]), "text 2 is None; give a text with [MASK]"),
    "a number to fill": (lambda model: model.fill_mask([3]), "text 1 is 3; give a text with [MASK]"),
    "a pair to fill": (lambda model: model.fill_mask([("a [MASK]", "b")]), "text 1 is ('a [MASK]', 'b'); give a text"),
    "part of a token": (lambda model: model.encode(["a"], max_length=8.5), "max_length=8.5 cannot be used; give 4 to"),
    "a length of text": (lambda model: model.encode(["a"], pad_to="8"), "pad_to=8 cannot be used; give 4 to 48"),
    "set too short": (lambda model: setattr(model, "max_length", 3), "max_length=3 cannot be used; give 4 to 48"),
    "set too long": (lambda model: setattr(model, "max_length", 49), "max_length=49 cannot be used; give 4 to 48"),
    "a file": (lambda model: model.save(__file__), f"directory={__file__} is a file; give a directory"),
    "somebody's": (lambda model: model.save(ROOT / "tests"), "which no export wrote; give a new directory"),
    "no such pooling": (lambda model: model.embed(["a"], pooling="tokens"), "apply(params, batch).hidden_states"),
    "no key": (lambda model: model.apply(model.params, model.encode(["a"]), training=True), "give rng=jax.random.key"),
    "theirs": (
        lambda model: model.apply(model.params, {"input_ids": 0, "attention_mask": 0, "token_type_ids": 0}),
        "the batch has no segment_ids, but input_ids, attention_mask, token_type_ids; give",
    ),
    "rows": (
        lambda model: model.apply(
            model.params, dict.fromkeys(("input_ids", "input_mask", "segment_ids"), np.ones((1, 49)))
        ),
        "rows of 49 tokens; give at most 48",
    ),
    "none of the rows": (lambda model: applied(model, shape=(0, 8)), "arrays of shape (0, 8); give a row and a token"),
    "none of the tokens": (lambda model: applied(model, shape=(2, 0)), "arrays of shape (2, 0); give a row and a tok"),
    "parts of ids": (
        lambda model: applied(model, input_ids=np.ones((2, 8), np.float32)),
        "the batch's input_ids are of float32; give whole numbers, as encode does",
    ),
    "an id of no token": (
        lambda model: applied(model, input_ids=np.full((2, 8), model.config.vocab_size)),
        "input_ids have 79; give 0 to 78, which the model reads",
    ),
    "an id below all": (lambda model: applied(model, input_ids=np.full((2, 8), -1)), "input_ids have -1; give 0 to"),
    "a third segment": (lambda model: applied(model, segment_ids=np.full((2, 8), 2)), "segment_ids have 2; give 0"),
    "a word after the last": (
        lambda model: applied(model, masked_lm_positions=np.full((2, 1), 8)),
        "masked_lm_positions have 8; give 0 to 7",
    ),
    "words of other rows": (
        lambda model: applied(model, masked_lm_positions=np.ones((3, 1), np.int32)),
        "masked_lm_positions have shape (3, 1); give [rows, n] of its 2 rows",
    ),
    "no rows": (
        lambda model: model.apply(model.params, dict.fromkeys(("input_ids", "input_mask", "segment_ids"), np.ones(9))),
        "give the same [rows, length] for all",
    ),
    "others' params": (
        lambda model: model.with_params({**model.params, "head": np.ones(2)}),
        "params: head is (2,), and not there in a new model",
    ),
    "no params": (lambda model: model.apply({"bert": model.params}, model.encode(["a"])), "is not there, and (32,) in"),
    "whole params": (
        lambda model: model.with_params(jax.tree.map(lambda leaf: leaf.astype(np.int32), model.params)),
        "is of int32; give floating-point numbers",
    ),
    "no params at all": (lambda model: model.with_params(None), "params is None; give a nested dict of arrays"),
    "params in lists": (
        lambda model: model.with_params(jax.tree.map(lambda leaf: leaf.tolist(), model.params)),
        "is no array, and (32,) in a new model; give a dict like its params",
    ),
    "a batch in lists": (
        lambda model: model.apply(model.params, {name: array.tolist() for name, array in model.encode(["a"]).items()}),
        "the batch's input_ids is a list; give an array, as encode does",
    ),
    "no batch": (lambda model: model.apply(model.params, None), "batch is None; give a dict of arrays"),
    "a number for a key": (
        lambda model: model.apply(model.params, model.encode(["a"]), training=True, rng=3),
        "rng is 3, and no key; give rng=jax.random.key(step)",
    ),
    "no directory": (lambda model: model.save(None), "directory=None cannot be used; give a path"),
    "where none can be made": (lambda model: model.save("/proc/x/y"), "/proc/x: no such file or directory; correct"),
    "nothing to load": (lambda model: bert_jax.load(None), "model=None cannot be used; give a path"),
    "settings that are none": (
        lambda model: bert_jax.load(ROOT, config={"num_attention_heads": 4}),
        "config={'num_attention_heads': 4} cannot be used; give a bert_jax.ModelConfig",
    ),
    "a new model of a dict": (
        lambda model: bert_jax.from_config({"hidden_size": 32}, model.tokenizer),
        "config={'hidden_size': 32} cannot be used; give a bert_jax.ModelConfig",
    ),
    "a new model of no words": (
        lambda model: bert_jax.from_config(model.config, None),
        "vocabulary=None cannot be used; give a path",
    ),
    "no head of a task": (
        lambda model: model.predict(["a"]),
        "a new model, a pretrained encoder with a masked-LM head and a next-sentence head, has no head of a task that "
        "predict knows; give the --workdir of `python -m bert_jax.finetune`",
    ),
    "no mask": (lambda model: model.fill_mask("a"), "text 1 has no [MASK]: 'a'"),
    "half a character": (lambda model: model.encode(["a", "b \ud83d"]), "text 2 has half of a surrogate pair, which"),
    "half a character in a pair": (lambda model: model.embed([("a", "\ud83d")]), "text 1 has half of a surrogate pair"),
    "half a character to fill": (lambda model: model.fill_mask("[MASK] \ud83d"), "text 1 has half of a surrogate pair"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_a_mistake_is_one_line(model, name):
    call, message = ERRORS[name]
    with pytest.raises(bert_jax.UserError) as error:
        call(model)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not str(error.value).startswith("--")  # a caller of the library knows arguments, and no flags


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"seed": -1}, "seed=-1 cannot be used; give a whole number from 0"),
        ({"seed": 2**63}, f"seed={2**63} cannot be used; give a whole number from 0 to"),
        ({"seed": 1.5}, "seed=1.5 cannot be used; give a whole number from 0"),
        ({"dtype": "float16"}, "dtype='float16' cannot be used; give 'float32' or 'bfloat16'"),
    ],
)
def test_what_no_new_model_can_have(workdirs, argument, message):
    with pytest.raises(bert_jax.UserError, match=message):
        bert_jax.from_config(workdirs.MODEL, workdirs.TOKENIZER, **argument)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"batch_size": 2.0}, "batch_size=2.0 cannot be used; give a whole number from 1"),
        ({"batch_size": 0}, "batch_size=0 cannot be used; give a whole number from 1"),
        ({"seed": -1}, "seed=-1 cannot be used; give a whole number from 0"),
        ({"first_step": -1}, "first_step=-1 cannot be used; give a whole number from 0"),
    ],
)
def test_records_that_cannot_be_read_so(tmp_path, argument, message):
    with pytest.raises(bert_jax.UserError, match=message):
        bert_jax.read_records(tmp_path, **({"batch_size": 2} | argument))


def test_a_length_that_is_set_is_read_from_then_on(model, tmp_path):
    text, other = "home good cat sat where is paris " * 3, model.with_params(model.params)
    before = other.embed([text])
    other.max_length = 8
    expected = other.apply(other.params, other.encode([text])).hidden_states[-1].mean(axis=1)
    assert other.encode([text])["attention_mask"].sum() == 8
    np.testing.assert_allclose(other.embed([text]), expected, atol=1e-5)
    np.testing.assert_array_equal(model.embed([text]), before)
    other.save(tmp_path / "kept")
    assert bert_jax.load(tmp_path / "kept").max_length == 8


def test_a_length_of_a_fine_tuned_model_is_kept_and_its_answers_are_the_same(workdirs, tmp_path):
    workdirs.write_workdir(tmp_path / "run", "similarity")
    text = "home good cat sat where is paris " * 3
    model = bert_jax.load(tmp_path / "run")
    answers = model.predict([(text, "good")])
    for number, length in enumerate([8, 8, 40, 24]):
        model.max_length = length
        model.save(tmp_path / str(number))
        model = bert_jax.load(tmp_path / str(number))
        assert model.max_length == length
        assert (tmp_path / str(number) / "sentence_bert_config.json").exists() == (length != 24)
        assert model.predict([(text, "good")]) == answers
    export(epath.Path(tmp_path), None, str(tmp_path / "0"), ExportOptions("sentence-transformers"))
    assert bert_jax.load(tmp_path / "0").max_length == bert_jax.load(tmp_path).max_length == 8


@pytest.mark.parametrize("types", [2, 1, 0])
@pytest.mark.parametrize("pairs", [True, False])
def test_whether_it_reads_pairs_is_kept(workdirs, tmp_path, types, pairs):
    config = dataclasses.replace(workdirs.MODEL, type_vocab_size=types, next_sentence=pairs)
    model = bert_jax.from_config(config, workdirs.TOKENIZER)
    model.save(tmp_path / "saved")
    kept = bert_jax.load(tmp_path / "saved")
    assert kept.config.next_sentence == pairs
    batch = model.encode(["a [MASK]", "good"], masks=True)
    ours, theirs = model.apply(model.params, batch), kept.apply(kept.params, batch)
    assert (theirs.pooled is None) == (theirs.pair_logits is None) == (not pairs)
    np.testing.assert_allclose(theirs.logits, ours.logits, atol=1e-6)
    assert kept.fill_mask("a [MASK]") == model.fill_mask("a [MASK]")
    np.testing.assert_allclose(kept.embed(["good"]), model.embed(["good"]), atol=1e-6)


def test_what_a_model_lacks_is_said(tuned, workdirs, tmp_path):
    with pytest.raises(
        bert_jax.UserError, match="run, a model fine-tuned for classification, has no masked-LM head; give"
    ):
        tuned.fill_mask("a [MASK]")
    with pytest.raises(bert_jax.UserError, match="text 1 is \\['a', 'b', 'c'\\]; give a text, or a pair of texts"):
        tuned.predict([["a", "b", "c"]])
    with pytest.raises(bert_jax.UserError, match="neither a workdir of bert_jax, nor Hugging Face weights"):
        bert_jax.load(tmp_path)
    with pytest.raises(bert_jax.UserError, match=r"config.vocab_size=7 cannot be used; the vocabulary has \d+ tokens"):
        bert_jax.from_config(dataclasses.replace(workdirs.MODEL, vocab_size=7), workdirs.TOKENIZER)
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        bert_jax.lode  # noqa: B018
    assert set(bert_jax.__all__) <= set(dir(bert_jax))
    assert all(getattr(bert_jax, name).__doc__ for name in bert_jax.__all__)


def test_what_the_system_refuses_is_one_line(tmp_path):
    (tmp_path / "task.json").mkdir()
    with pytest.raises(bert_jax.UserError, match=r"task.json: is a directory; give a file$"):
        bert_jax.load(tmp_path)
    (tmp_path / "vocab.txt").mkdir()
    with pytest.raises(bert_jax.UserError, match=r"vocab.txt: is a directory; give a file$"):
        bert_jax.from_config(bert_jax.ModelConfig(), tmp_path)


def settings_of_the_process():
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    logs = [logging.root.level, list(logging.root.handlers), absl.logging.get_verbosity(), sys.unraisablehook]
    return handlers, logs, dict(jax.config.values), list(warnings.filters), dict(os.environ)


def test_the_process_stays_as_it_was(tuned, workdirs, tmp_path):
    before = settings_of_the_process()
    workdirs.write_workdir(tmp_path / "run", "classification")
    model = bert_jax.load(tmp_path / "run")
    model.predict(["good"])
    model.embed(["good"])
    assert settings_of_the_process() == before
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        *("config.json", "model.safetensors", "scores.json", "task.json", "tokenizer")
    }


def test_importing_it_imports_next_to_nothing_and_leaves_signals_alone(tmp_path):
    """Also where a program of somebody else is run as a module."""
    program = (
        "import signal, sys\nbefore = signal.getsignal(signal.SIGINT)\nimport bert_jax\n"
        "assert signal.getsignal(signal.SIGINT) is before\n"
        "assert not {'jax', 'numpy', 'absl'} & set(sys.modules), sys.modules\n"
    )
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "__init__.py").write_text(program)
    (tmp_path / "theirs" / "bert_jax.py").write_text("print('done')\n")
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-m", "theirs.bert_jax", "--module=bert_jax.predict"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=tmp_path,
    )
    assert (done.stdout, done.stderr) == ("done\n", "")


@pytest.mark.parametrize(
    ("kind", "given"),
    [("classification", "\ud83d"), ("tagging", ["a", "\udc00"]), ("choice", ("a", ["b", "\ud83d c"]))],
)
def test_half_a_character_is_not_predicted(workdirs, tmp_path, kind, given):
    workdirs.write_workdir(tmp_path / "run", kind)
    with pytest.raises(bert_jax.UserError, match=r"^text 1 has half of a surrogate pair, which is no text; fix it$"):
        bert_jax.load(tmp_path / "run").predict([given])


def test_a_mask_of_booleans_and_numbers_that_are_not_known_are_read(model):
    batch = {name: array for name, array in model.encode(TEXTS).items() if name != "offsets"}
    plain, of_booleans = batch, batch | {"attention_mask": batch["attention_mask"] > 0}
    expected = model.apply(model.params, plain).logits
    np.testing.assert_array_equal(model.apply(model.params, of_booleans).logits, expected)
    traced = jax.jit(lambda rows: model.apply(model.params, rows).logits)(plain)
    np.testing.assert_allclose(traced, expected, atol=1e-5)

"""The distillation objective against float64 NumPy and torch, and a student that is its teacher."""

import dataclasses
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.config.distillation import DistillationConfig
from bert_jax.model.distillation import WordLogits
from bert_jax.model.functional import flatten, nest
from bert_jax.objectives.distillation import DistillationObjective, divergence_in_pieces, token_weights
from bert_jax.objectives.divergence import kl_divergence
from bert_jax.objectives.pretraining import PretrainingObjective

ROWS = 6
LAYERWISE = {"cosine_layers": "0,2", "kl_weight": 3.0, "pretraining_weight": 0.5, "cosine_weight": 4.0}


@pytest.fixture(scope="module")
def student(model_config):
    return dataclasses.replace(model_config, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)


@pytest.fixture(scope="module")
def teacher(student):
    """A deeper one."""
    return dataclasses.replace(student, num_hidden_layers=3)


@pytest.fixture(scope="module")
def batch(make_batch):
    """With a row that only fills it up."""
    return {name: np.concatenate([array, 0 * array[:1]]) for name, array in make_batch(ROWS, seed=5).items()}


class Both:
    """An objective with weights of the student and the teacher, wide ones, so that they differ by much."""

    def __init__(self, student, teacher, **settings):
        self.objective = DistillationObjective(PretrainingObjective(student), teacher, DistillationConfig(**settings))
        self.model, self.teacher = self.objective.model(), self.objective.teacher_model()
        self.params, self.teachers = (
            jax.tree.map(lambda leaf: 4 * leaf, model.init(jax.random.key(number)))
            for number, model in enumerate((self.model, self.teacher))
        )

    def loss(self, params, batch):
        objective = self.objective
        batch = batch | objective.targets(self.teacher, self.teachers, batch)
        sums = objective.sums(self.model.apply(params, **objective.inputs(batch)), batch)
        return objective.loss(sums, objective.weights(batch)), sums

    def outputs(self, batch):
        """Of both models, in float64."""
        inputs = self.objective.inputs(batch)
        both = self.model.apply(self.params, **inputs), self.teacher.apply(self.teachers, **inputs)
        return [jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), outputs) for outputs in both]


def log_softmax(logits):
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def restated_divergence(student, teacher, temperature):
    student, teacher = log_softmax(student / temperature), log_softmax(teacher / temperature)
    return (np.exp(teacher) * (teacher - student)).sum(-1)


def restated_cosine(left, right):
    return (left * right).sum(-1) / np.sqrt((left**2).sum(-1) * (right**2).sum(-1))


def restated_means(both, batch):
    """The divergence and the cosine distance, token by token."""
    settings = both.objective.settings
    mine, theirs = both.outputs(batch)
    pairs = [(1, 2)] if settings.cosine_layers == "last" else [(0, 0), (1, 2)]
    divergences, distances = [], []
    for row in range(len(batch["input_ids"])):
        for token in np.flatnonzero(batch["input_mask"][row]):
            logits = [
                model.words.features[row, token] @ model.words.table.T + model.words.bias for model in (mine, theirs)
            ]
            divergences.append(restated_divergence(*logits, settings.temperature))
            states = [(mine.layers[ours][row, token], theirs.layers[other][row, token]) for ours, other in pairs]
            distances.append(np.mean([1 - restated_cosine(*each) for each in states]))
    if settings.kl_tokens == "masked":
        there = batch["masked_lm_weights"] > 0
        divergences = restated_divergence(mine.logits.masked_lm, theirs.logits.masked_lm, settings.temperature)[there]
    return np.mean(divergences), np.mean(distances)


@pytest.mark.parametrize(
    "settings", [{}, {"kl_tokens": "masked", "temperature": 3.0}, LAYERWISE], ids=["paper", "masked", "layerwise"]
)
def test_the_loss_is_that_of_float64(student, teacher, batch, settings):
    both = Both(student, teacher, **settings)
    loss, sums = jax.jit(both.loss)(both.params, batch)
    divergence, distance = restated_means(both, batch)
    settings, means = both.objective.settings, both.objective.means(jax.tree.map(float, sums))
    pretraining = PretrainingObjective(student)
    alone = pretraining.means(jax.tree.map(float, pretraining.sums(both.outputs(batch)[0].logits, batch)))
    assert means["teacher_kl"] == pytest.approx(divergence, rel=2e-5)
    assert means["teacher_cosine"] == pytest.approx(distance, rel=2e-5)
    assert {name: means[name] for name in alone if name != "loss"} == pytest.approx(
        {name: alone[name] for name in alone if name != "loss"}, rel=2e-5
    )
    expected = settings.kl_weight * settings.temperature**2 * divergence + settings.cosine_weight * distance
    assert float(loss) == pytest.approx(expected + settings.pretraining_weight * alone["loss"], rel=2e-5)
    assert means["loss"] == pytest.approx(float(loss), rel=1e-6)


def test_divergences_in_pieces_have_the_gradient_of_all_at_once():
    random = np.random.default_rng(1)
    features, table, bias = (random.normal(0, 1, shape).astype(np.float32) for shape in ((3, 16, 8), (29, 8), 29))
    student, teacher = WordLogits(features, table, bias), WordLogits(features[::-1], 2 * table, -bias)
    weights = random.integers(0, 2, (3, 16)).astype(np.float32)

    def whole(student):
        logits = [each.features @ each.table.T + each.bias[None, None] for each in (student, teacher)]
        return (kl_divergence(*logits, 2.0) * weights).sum()

    expected, wanted = jax.jit(jax.value_and_grad(whole))(student)
    for at_once in (1, 3, 16, 20):

        def in_pieces(student, at_once=at_once):
            return divergence_in_pieces(student, teacher, weights, 2.0, at_once)

        value, gradient = jax.jit(jax.value_and_grad(in_pieces))(student)
        assert float(value) == pytest.approx(float(expected), rel=1e-5)
        for mine, theirs in zip(gradient, wanted, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-5 * np.abs(theirs).max())


def test_the_logits_of_all_tokens_are_never_there_together(student, batch):
    both = Both(student, student, pretraining_weight=0.0)
    compiled = jax.jit(jax.grad(lambda *inputs: both.loss(*inputs)[0])).lower(both.params, batch).compile()
    rows, length = batch["input_ids"].shape
    shapes = [tuple(map(int, dims.split(","))) for dims in re.findall(r"f32\[([0-9,]+)\]", compiled.as_text())]
    vocabulary_wide = [math.prod(shape[:-1]) for shape in shapes if shape[-1] == student.vocab_size]
    assert rows * 4 in vocabulary_wide  # a piece: 4 of 16 tokens
    assert max(vocabulary_wide) < rows * length


@pytest.mark.parametrize("kl_tokens", ["all", "masked"])
def test_a_student_that_is_its_teacher_has_nothing_to_learn(student, batch, kl_tokens):
    both = Both(student, student, kl_tokens=kl_tokens, pretraining_weight=0.0)
    both.teachers = nest({path: flatten(both.params)[path] for path in flatten(both.teachers)})  # without the pair head
    gradient, sums = jax.jit(jax.grad(both.loss, has_aux=True))(both.params, batch)
    assert float(sums["teacher_kl"]) == pytest.approx(0.0, abs=1e-5)
    assert float(sums["teacher_cosine"]) == pytest.approx(0.0, abs=1e-5)
    assert max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(gradient)) < 1e-5


def test_torch_agrees(batch):
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(0)
    student, teacher = random.normal(0, 4, (2, 50, 101)).astype(np.float32)
    loss = torch.nn.KLDivLoss(reduction="batchmean")
    theirs = loss(
        torch.log_softmax(torch.tensor(student) / 2, dim=-1), torch.softmax(torch.tensor(teacher) / 2, dim=-1)
    )
    assert float(kl_divergence(student, teacher, 2.0).mean()) == pytest.approx(float(theirs), rel=1e-5)
    more = jnp.pad(student, ((0, 0), (0, 3)), constant_values=-1e9)
    np.testing.assert_array_equal(kl_divergence(more, teacher, 2.0), kl_divergence(student, teacher, 2.0))


def test_tokens_of_several_sequences_in_a_row_count_alike():
    weights = token_weights({"input_mask": jnp.array([[1, 1, 2, 2, 3, 0]])})
    assert weights.tolist() == [[1, 1, 1, 1, 1, 0]]

"""Distillation (arXiv 1910.01108): a student learns a teacher's distributions of words and its hidden states.

The loss is kl_weight * T^2 * KL(softmax(t / T) || softmax(s / T)) + pretraining_weight * the loss without a teacher +
cosine_weight * (1 - cos(s, t)). What the teacher makes of a batch stands beside the batch's features (`targets`).
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from bert_jax import scopes
from bert_jax.config import ModelConfig
from bert_jax.config.distillation import DistillationConfig
from bert_jax.model.distillation import DistillationOutputs, WordLogits, distillation_model
from bert_jax.model.embeddings import tied_logits
from bert_jax.model.flops import encoder_flops, masked_lm_flops, next_sentence_flops
from bert_jax.model.functional import Model, Params, Path, without_gradient
from bert_jax.objectives.divergence import kl_divergence
from bert_jax.objectives.metrics import Metric
from bert_jax.objectives.objective import Batch, Sums
from bert_jax.objectives.pretraining import EPSILON, PretrainingObjective
from bert_jax.objectives.teacher_metrics import COSINE, KL


@dataclasses.dataclass(frozen=True)
class DistillationObjective:
    """The losses of a student beside a teacher."""

    pretraining: PretrainingObjective  # what the student would be trained by alone
    teacher: ModelConfig
    settings: DistillationConfig

    @property
    def config(self) -> ModelConfig:
        """The student's architecture."""
        return self.pretraining.config

    @property
    def metrics(self) -> Sequence[Metric]:
        """Those of pretraining, and how far the student is from the teacher."""
        weights = (self.settings.kl_weight, KL), (self.settings.cosine_weight, COSINE)
        return *self.pretraining.metrics, *(metric for weight, metric in weights if weight)

    def model(self, dtype: str = "float32", remat: str = "none", by_sequence: bool = False) -> Model:
        """The student; its parameters are those of pretraining."""
        model = distillation_model(self.config, dtype, remat, by_sequence)
        return without_gradient(model, is_position) if self.settings.freeze_positions else model

    def teacher_model(self, dtype: str = "float32", by_sequence: bool = False) -> Model:
        """The teacher's encoder and masked-LM head, which is all that is read of it."""
        return distillation_model(dataclasses.replace(self.teacher, next_sentence=False), dtype, "none", by_sequence)

    @jax.named_scope(scopes.TEACHER)
    def targets(self, teacher: Model, params: Params, batch: Batch) -> dict[str, jax.Array]:
        """What the `teacher`, a teacher_model with these parameters, makes of a batch, without dropout.

        Of B rows of L tokens with P predictions: teacher_layer_N [B, L, hidden_size], of each layer that is compared;
        with kl_tokens=masked teacher_masked_lm, logits [B, P, vocab], else what makes those of all tokens:
        teacher_features [B, L, width], teacher_table [vocab, width] and teacher_bias [vocab]. Logits and bias are
        float32; layers and features have the dtype of the activations, the table that of the weights in the step.
        """
        outputs: DistillationOutputs = teacher.apply(params, **known_to(self.teacher, self.inputs(batch)))
        states = {f"teacher_layer_{number}": outputs.layers[number] for _, number in self._pairs}
        if self.settings.kl_tokens == "masked":
            return states | {"teacher_masked_lm": outputs.logits.masked_lm}
        return states | {f"teacher_{name}": array for name, array in outputs.words._asdict().items()}

    def inputs(self, batch: Batch) -> dict[str, jax.Array]:
        """See PretrainingModel."""
        return self.pretraining.inputs(batch)

    def weights(self, batch: Batch) -> Sums:
        """How many masked tokens, pairs and tokens a batch has."""
        return self.pretraining.weights(batch) | {"token_weight": token_weights(batch).sum()}

    @jax.named_scope(scopes.LOSS)
    def sums(self, outputs: DistillationOutputs, batch: Batch) -> Sums:
        """Those of pretraining, divergences (nats) and cosine distances; `batch` has the targets."""
        sums = self.pretraining.sums(outputs.logits, batch) | self.weights(batch)
        if self.settings.kl_weight:
            sums["teacher_kl"] = self._divergence(outputs, batch)
        if self.settings.cosine_weight:
            sums["teacher_cosine"] = self._distance(outputs, batch)
        return sums

    def loss(self, sums: Mapping[str, jax.Array], weights: Mapping[str, jax.Array]) -> jax.Array:
        """The weighted sum of the three losses, each of them a mean."""
        settings, tokens = self.settings, jnp.maximum(weights["token_weight"], 1.0)
        loss = settings.pretraining_weight * self.pretraining.loss(sums, weights)
        if settings.kl_weight:
            number = tokens if settings.kl_tokens == "all" else weights["masked_lm_weight"] + EPSILON
            loss += settings.kl_weight * settings.temperature**2 * sums["teacher_kl"] / number
        return loss + (settings.cosine_weight * sums["teacher_cosine"] / tokens if settings.cosine_weight else 0.0)

    def means(self, sums: Mapping[str, float]) -> dict[str, float]:
        """Those of pretraining; the divergence in nats, without temperature^2, and the distance from 0 to 2."""
        settings, means = self.settings, self.pretraining.means(sums)
        tokens, words = max(float(sums["token_weight"]), 1.0), max(float(sums["masked_lm_weight"]), EPSILON)
        loss = settings.pretraining_weight * means["loss"]
        if settings.kl_weight:
            means["teacher_kl"] = float(sums["teacher_kl"] / (tokens if settings.kl_tokens == "all" else words))
            loss += settings.kl_weight * settings.temperature**2 * means["teacher_kl"]
        if settings.cosine_weight:
            means["teacher_cosine"] = float(sums["teacher_cosine"] / tokens)
            loss += settings.cosine_weight * means["teacher_cosine"]
        return means | {"loss": loss}

    def label_counts(self, batch: Batch) -> Sums:
        """As in pretraining."""
        return self.pretraining.label_counts(batch)

    def baselines(self, counts: Mapping[str, Any]) -> dict[str, float]:
        """As in pretraining."""
        return self.pretraining.baselines(counts)

    def flops_per_row(self, length: int, predictions: int) -> int:
        """Forward and backward pass of the student and forward pass of the teacher, which read all tokens."""
        words = length if self.settings.kl_weight and self.settings.kl_tokens == "all" else predictions
        of_each = [encoder_flops(model, length, length) for model in (self.config, self.teacher)]
        heads = [masked_lm_flops(model, words) for model in (self.config, self.teacher)]
        pairs = next_sentence_flops(self.config) if self.config.next_sentence else 0
        return 3 * (of_each[0] + heads[0] + pairs) + of_each[1] + heads[1]

    @property
    def _pairs(self) -> list[tuple[int, int]]:
        return self.settings.layer_pairs(self.config.num_hidden_layers, self.teacher.num_hidden_layers)

    def _divergence(self, outputs: DistillationOutputs, batch: Batch) -> jax.Array:
        """The sum over tokens or masked tokens."""
        settings = self.settings
        if settings.kl_tokens == "masked":
            student, teacher = outputs.logits.masked_lm, batch["teacher_masked_lm"]
            return (kl_divergence(student, teacher, settings.temperature) * batch["masked_lm_weights"]).sum()
        teachers = WordLogits(*(batch[f"teacher_{name}"] for name in WordLogits._fields))
        # As many tokens of a row at a time as it has masked tokens, whose logits there are anyway.
        at_once = batch["masked_lm_positions"].shape[1]
        return divergence_in_pieces(outputs.words, teachers, token_weights(batch), settings.temperature, at_once)

    def _distance(self, outputs: DistillationOutputs, batch: Batch) -> jax.Array:
        """The sum over tokens of the mean over layers."""
        distances = [
            1.0 - cosine(outputs.layers[of_student], batch[f"teacher_layer_{of_teacher}"])
            for of_student, of_teacher in self._pairs
        ]
        return (sum(distances, jnp.zeros(())) / len(distances) * token_weights(batch)).sum()


def known_to(teacher: ModelConfig, inputs: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """A model's inputs for a `teacher`, which may know fewer token types."""
    if not teacher.type_vocab_size:
        return dict(inputs)
    return {**inputs, "segment_ids": jnp.minimum(inputs["segment_ids"], teacher.type_vocab_size - 1)}


def is_position(path: Path) -> bool:
    """Whether a parameter is the table of positions."""
    return "position" in path


def token_weights(batch: Batch) -> jax.Array:
    """1.0 for a token, special ones too, 0.0 for padding; float32 [batch, length]."""
    return (batch["input_mask"] > 0).astype(jnp.float32)


def cosine(left: jax.Array, right: jax.Array) -> jax.Array:
    """Of vectors [..., embed]: float32 [...]."""
    left, right = left.astype(jnp.float32), right.astype(jnp.float32)
    squares = jnp.square(left).sum(-1) * jnp.square(right).sum(-1)
    return (left * right).sum(-1) * jax.lax.rsqrt(jnp.maximum(squares, 1e-24))


def divergence_in_pieces(
    student: WordLogits, teacher: WordLogits, weights: jax.Array, temperature: float, at_once: int
) -> jax.Array:
    """The sum of weights [batch, length] times kl_divergence of all tokens, `at_once` of each row at a time.

    The logits of all tokens, which are gigabytes, are never there together: on the way back those of a piece are
    computed again. A piece is of all rows, so that each device works on its own.
    """
    batch, length = weights.shape
    pieces = -(-length // at_once)
    size = -(-length // pieces)

    def cut(array: jax.Array) -> jax.Array:
        filled = jnp.pad(array, [(0, 0), (0, pieces * size - length), *[(0, 0)] * (array.ndim - 2)])
        return jnp.moveaxis(filled.reshape(batch, pieces, size, *array.shape[2:]), 1, 0)

    # The table's gradient is a sum over the pieces: of float32.
    tables = [each.table.astype(jnp.float32) for each in (student, teacher)]

    @functools.partial(jax.checkpoint, prevent_cse=False)
    def add(total: jax.Array, piece: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        of_student, of_teacher, weight = piece
        logits = [
            tied_logits(features.reshape(-1, features.shape[2]), table, each.bias)
            for features, table, each in zip((of_student, of_teacher), tables, (student, teacher), strict=True)
        ]
        return total + (kl_divergence(logits[0], logits[1], temperature) * weight.reshape(-1)).sum(), None

    parts = tuple(map(cut, (student.features, teacher.features, weights)))
    return jax.lax.scan(add, jnp.zeros(()), parts)[0]

"""A model as an object: functions over arrays, with explicit parameters, and answers to texts."""

import copy
import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Self, TypeVar, overload

import jax
import numpy as np
from etils import epath

from bert_jax.config import MeshConfig, ModelConfig, TextConfig
from bert_jax.config.check import is_whole, require
from bert_jax.config.finetuning import TextPooling
from bert_jax.errors import UserError
from bert_jax.inference.embedding import Embedder, unit
from bert_jax.inference.fill_mask import MaskFiller
from bert_jax.inference.forward import DeviceModel
from bert_jax.inference.predictor import Predictor
from bert_jax.interchange.pretrained import Pretrained
from bert_jax.library.described import ModelDescription
from bert_jax.library.encoded import Encoded, Text, encoded, examples_of, masked_texts, several
from bert_jax.library.inputs import check_params, dropout_key, inputs_of, pooling_of
from bert_jax.library.saving import save
from bert_jax.model.functional import Model, Params, flatten
from bert_jax.model.outputs import Outputs
from bert_jax.parallel.axes import varying_alike
from bert_jax.parallel.mesh import make_mesh, no_mesh
from bert_jax.tasks.encoding import TruncationCounts
from bert_jax.tasks.task import Task
from bert_jax.text.tokenizer import Tokenizer

Kind = TypeVar("Kind", bound=DeviceModel)


class Bert:
    """An encoder with its tokenizer and the heads that it has: what `bert_jax.load` and `from_config` give.

    `apply` is a pure function of parameters and arrays. `embed`, `fill_mask` and `predict` do what the verbs of these
    names do, with the same numbers, on all devices; what they compile is kept in the object.

    Attributes:
        params: nested dict of float32 arrays: {"encoder": {"layer_0": {"attention": {"query": {"kernel": ..., ...}}}}}.
        config: the architecture: hidden_size, num_hidden_layers, max_position_embeddings, vocab_size, ...
        tokenizer: text to ids and back: encode, decode, tokens, vocab_size, mask_id, pad_id, ...
        task: of a fine-tuned model what it answers, say Classification with its `labels` in the order of the logits;
            else None.
        max_length: tokens of a text that `encode` and `embed` read unless another length is asked for, special ones
            included; may be set. `predict` reads as many as in training, and `fill_mask` all.
        name: where it is from, for messages.
    """

    def __init__(self, params: Params, tokenizer: Tokenizer, model: Model, description: ModelDescription) -> None:
        """Not for users: see `bert_jax.load` and `bert_jax.from_config`."""
        self._params, self.tokenizer, self._model, self._described = params, tokenizer, model, description
        self.config: ModelConfig = description.config
        self.task: Task | None = description.task
        self.name: str = description.name
        self._made: dict[Any, DeviceModel] = {}
        self._apply = jax.jit(functools.partial(_outputs, model, description.name))

    @property
    def params(self) -> Params:
        """Nested dict of float32 arrays; another model is made of others by `with_params`."""
        return self._params

    @property
    def max_length(self) -> int:
        """Tokens of a text that are read unless another length is asked for, special ones included."""
        return self._described.max_length

    @max_length.setter
    def max_length(self, length: int) -> None:
        self._check_length("max_length", length)
        self._described = dataclasses.replace(self._described, max_length=int(length))

    def __repr__(self) -> str:
        return f"<Bert {self.name}: {self._described.what(self.params)}>"

    def encode(
        self, texts: Iterable[Text], *, max_length: int | None = None, pad_to: int | None = None, masks: bool = False
    ) -> Encoded:
        """Texts, or pairs of texts, as the arrays that `apply` reads: input_ids, attention_mask, segment_ids, offsets.

        max_length: tokens of a row at most, special ones included; what is longer is cut, the longer text of a pair
            first, and a warning in the log says of how many. None: the model's own `max_length`.
        pad_to: the length of the rows. None: that of the longest text, rounded up to one of 16, 24, 32, 48, 64, 96, 128
            ..., so that `apply` is compiled for few shapes. It cuts nothing: a longer text is refused.
        masks: "[MASK]" in a text is the mask, as `fill_mask` reads it, and not a word like others.

        Returns int32 NumPy arrays, see `bert_jax.Encoded`. Raises UserError for a length that the model does not read,
        for a text longer than pad_to, and for what is no text.
        """
        for name, length in (("max_length", max_length), ("pad_to", pad_to)):
            if length is not None:
                self._check_length(name, length)
        return encoded(texts, self.tokenizer, max_length or self.max_length, pad_to, masks)

    def apply(
        self, params: Params, batch: Mapping[str, Any], *, training: bool = False, rng: jax.Array | None = None
    ) -> Outputs:
        """Hidden states, pooled output and logits of a batch: a pure function, which jax.jit and jax.grad take.

        params: nested dict like `self.params`, of float32.
        batch: input_ids, attention_mask (1: token, 0: padding) and segment_ids (0, 1), int32 [B, L], as `encode` gives
            them (a choice's: [B, texts, L]); optionally masked_lm_positions, int32 [B, predictions], of which alone
            masked-LM logits are made. Records call attention_mask input_mask. What else is in the batch is not read.
        training, rng: with training=True (a constant under jax.jit) and a JAX key there is dropout, at the config's
            rates; else none.

        Returns `bert_jax.Outputs`: hidden_states, pooled, logits, pair_logits, with None for what the model lacks. It
        is compiled once for each shape; within a jax.jit of yours only what you read of it is computed. Derivatives are
        of reverse mode (jax.grad, jax.vjp, jax.jacrev, also of each other); jax.jvp and jax.hessian raise TypeError.

        Raises UserError for a batch without these arrays or with longer rows than the model reads, or with none; for
        numbers that are not whole or, in NumPy's arrays, no id or segment of the model's; for params of another
        structure, and for training without rng.
        """
        inputs = inputs_of(batch, self.config, of_task=self.task is not None)
        return self._apply(params, inputs, dropout_key(training, rng))

    def init(self, rng: jax.Array) -> Params:
        """Fresh parameters of the same model, drawn as for pretraining: a nested dict of float32 arrays."""
        return jax.jit(self._model.init)(rng)

    def with_params(self, params: Params) -> Self:
        """The same model with other parameters, say those that you trained; nothing is compiled again.

        Raises UserError for params of another structure or other shapes, and for whole numbers.
        """
        check_params(params, self._model, self.name)
        other = copy.copy(self)
        other._params, arrays = params, flatten(params)
        other._made = {how: each.with_arrays(arrays) for how, each in self._made.items()}
        return other

    def save(self, directory: epath.PathLike) -> None:
        """Write the model into a new directory, which `bert_jax.load` and all verbs take, whole or not at all.

        It is a Hugging Face directory, with tokenizer, for transformers too; where none would be the same model, it is
        as `python -m bert_jax.export --format=numpy` writes it, and a warning in the log says so. Of a fine-tuned model
        it is a workdir as `python -m bert_jax.finetune` leaves it, without its scores.

        Raises UserError if the directory holds something else, or a parameter is not finite.
        """
        save(directory, self._pretrained(), self._described)

    @no_mesh()
    def embed(
        self,
        texts: Iterable[Text],
        *,
        pooling: TextPooling | None = None,
        layers: Sequence[int] = (-1,),
        combine: Literal["concat", "sum", "mean"] = "concat",
        normalize: bool | None = None,
        long: Literal["cut", "windows"] = "cut",
    ) -> np.ndarray:
        """A vector of each text or pair: float32 [texts, hidden_size], or longer, see `combine`.

        pooling: of the tokens' states; None: as the model says of itself, else their mean.
        layers: 0 the embeddings' output, 1 the first layer's, -1 the last one's; see `Outputs.hidden_states`.
        combine: several layers' vectors are joined to a longer one, added up, or averaged.
        normalize: whether vectors get length 1, so that their products are cosines; None: as the model says of itself,
            else not.
        long: a text of more than `max_length` tokens is cut, or read in windows.

        Raises UserError for what is no text and for a layer that there is not. Vectors of tokens are
        `apply(params, batch).hidden_states`.
        """
        kind = pooling or self._described.own.pooling or "mean"
        how = pooling_of(kind, layers, combine, self.config.num_hidden_layers)
        require(long in ("cut", "windows"), "long", long, "give cut or windows")
        examples = examples_of(texts)
        text = TextConfig(max_length=self.max_length, long=long)

        def make() -> Embedder:
            mesh, dtype = make_mesh(MeshConfig()), self._described.dtype
            return Embedder(self._pretrained(), how, text, mesh, dtype=dtype, few_rows=True)

        embedder = self._kept((how, long, self.max_length), make)
        embedder.encoder.counts = TruncationCounts()
        vectors = embedder.vectors(examples)
        embedder.encoder.log_lengths("embed", 'long="windows"')
        normalize = self._described.own.normalized if normalize is None else normalize
        return unit(vectors) if normalize else vectors

    @overload
    def fill_mask(self, texts: str, best: int = 5) -> dict[str, Any]: ...  # type: ignore[overload-overlap]

    @overload
    def fill_mask(self, texts: Iterable[str], best: int = 5) -> list[dict[str, Any]]: ...

    @no_mesh()
    def fill_mask(self, texts: str | Iterable[str], best: int = 5) -> dict[str, Any] | list[dict[str, Any]]:
        """The likeliest words for each [MASK] of a text, or of each of several texts.

        Returns for a text {"text", "filled": with the likeliest words, "masks": for each mask in turn a list of the
        `best` {"token", "probability"}}; for several texts a list of these.

        Raises UserError if the model has no masked-LM head, or a text has no [MASK] or more tokens than it reads, or is
        none.
        """
        require(is_whole(best, 1), "best", best, "give a whole number from 1 on")
        if self.task:
            raise UserError(f"{self._called()} has no masked-LM head; give the pretrained model that it was made of")

        def make() -> MaskFiller:
            return MaskFiller(self._pretrained(), best, self._called(), self._described.dtype, few_rows=True)

        filler = self._kept(("fill_mask", best), make)
        taken = masked_texts(several([texts] if isinstance(texts, str) else texts))
        found = list(filler.fill(list(taken.values()), list(taken)))
        return found[0] if isinstance(texts, str) else found

    @no_mesh()
    def predict(self, texts: Iterable[Any]) -> list[dict[str, Any]]:
        """The answer of a fine-tuned model to each of the texts, as the verb `predict` writes it, in their order.

        What a text is, and the keys of its answer, by `task.kind`:

        classification: a text or a pair of texts -> "label": str, "probabilities": {label: float}.
        multilabel: a text or a pair -> "labels": list[str], "probabilities": {label: float}.
        regression: a text or a pair -> "score": float, on the scale of the training labels.
        similarity: a pair -> "score": float, the cosine of its vectors.
        choice: (text, [choices]) -> "label": int, the choice's place from 0, "probabilities": list[float].
        tagging: a list of words -> "tags": list[str], one a word, "probabilities": list[float], of these tags.
        qa: (question, context) -> "answer": str, which is context[start:end], "" where there is none; "start", "end":
            int, in characters; "probability": float; "null_score_difference": float, by how much the score of no answer
            is above that of the best one, or None; "candidates": list of the best five, with these first four keys.

        Raises UserError if the model is not fine-tuned, or a text is of another form.
        """
        task = self.task
        if task is None:
            raise UserError(
                f"{self._called()} has no head of a task that predict knows; "
                "give the --workdir of `python -m bert_jax.finetune`"
            )
        examples = [task.example(each, f"text {number}") for number, each in enumerate(several(texts), 1)]

        def make() -> Predictor:
            assert self._described.fine_tuned
            text, mesh = self._described.fine_tuned.text, make_mesh(MeshConfig())
            arrays, dtype = flatten(self.params), self._described.dtype
            return Predictor(task, text, self.config, arrays, self.tokenizer, mesh, dtype, few_rows=True)

        return self._kept("predict", make).answers(examples, "predict")

    def _check_length(self, name: str, length: int) -> None:
        most = self.config.max_position_embeddings
        require(is_whole(length, 4, most), name, length, f"give 4 to {most}, as the model reads")

    def _kept(self, how: Any, make: Callable[[], Kind]) -> Kind:
        """What `make` makes, once."""
        if how not in self._made:
            self._made[how] = make()
        kept: Any = self._made[how]
        return kept

    def _pretrained(self) -> Pretrained:
        return Pretrained(flatten(self.params), self.config, self.tokenizer)

    def _called(self) -> str:
        return f"{self.name}, {self._described.what(self.params)},"


def _outputs(model: Model, name: str, params: Params, inputs: dict[str, jax.Array], key: jax.Array | None) -> Outputs:
    check_params(params, model, name)  # once for each shape, when it is traced
    module: Any = model.module(varying_alike(params, inputs))
    outputs: Outputs = module.outputs(**inputs, dropout_key=key)
    return outputs

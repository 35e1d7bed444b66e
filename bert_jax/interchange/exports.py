"""What can be written of a workdir, and in which formats."""

import dataclasses
from collections.abc import Callable
from typing import Any

from etils import epath

from bert_jax.config import ModelConfig
from bert_jax.errors import UserError
from bert_jax.interchange.families import ENCODER, PRETRAINING, check_layers, chosen_family, family_of, without_place
from bert_jax.interchange.family import Family
from bert_jax.interchange.huggingface import write_huggingface
from bert_jax.interchange.huggingface_tasks import CLASSES, write_encoder, write_task_model
from bert_jax.interchange.model_card import model_card
from bert_jax.interchange.numpy import write_numpy
from bert_jax.interchange.own_settings import NOTHING_SAID, OwnSettings, own_settings, write_own_settings
from bert_jax.interchange.programs import Servable
from bert_jax.interchange.sentence_transformers import write_sentence_transformers
from bert_jax.interchange.task_card import task_card
from bert_jax.interchange.tensorflow import write_tensorflow
from bert_jax.model.functional import Params, nest
from bert_jax.model.pretraining import MASKED_LM, pretraining_model
from bert_jax.storage.json_file import read_json, write_json
from bert_jax.text.load_tokenizer import load_tokenizer
from bert_jax.text.tokenizer import Tokenizer
from bert_jax.workdir import fine_tuned
from bert_jax.workdir.run_directory import read_config
from bert_jax.workdir.trained import Trained, read_trained

# Format -> the library that its files are for, as model cards name it.
LIBRARIES = {
    "huggingface": "transformers",
    "sentence-transformers": "sentence-transformers",
    "numpy": "numpy",
    "tensorflow": "tensorflow",
    "onnx": "onnx",
    "stablehlo": "jax",
}
FOR_TRANSFORMERS = ("huggingface", "sentence-transformers")  # always of a family


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """What is written."""

    kind: str  # a key of LIBRARIES
    step: int | None = None  # of the checkpoint; None: the newest
    normalize: bool = False  # sentence-transformers: vectors have length 1
    family: str | None = None  # a key of FAMILIES: as which transformers gets it; None: as what it is
    drop_heads: bool = False  # the encoder alone
    write_program: Callable[[epath.Path, Servable], str] | None = None  # of onnx and stablehlo: serving/programs.py

    @property
    def is_encoder(self) -> bool:
        """Whether it is without heads, whatever the model has."""
        return self.drop_heads or self.kind == "sentence-transformers"

    @property
    def is_of_a_family(self) -> bool:
        """Whether what is written has to be as a class of transformers computes; a graph computes by itself."""
        return self.kind in FOR_TRANSFORMERS or (self.kind == "onnx" and self.family is not None)


def export_pretrained(directory: epath.Path, workdir: epath.PathLike, options: ExportOptions) -> int:
    """Write a pretraining run's weights; gives the step.

    Raises:
      UserError: there is no such run or checkpoint, its tokenizer is another one, or the format cannot hold the model.
    """
    model, tokenizer = read_config(workdir).model, load_tokenizer(f"{workdir}/tokenizer")
    if options.is_of_a_family:
        check_layers(model)  # before gigabytes are read
    if options.kind == "tensorflow":
        _check_is_original(model, options.is_encoder)
    trained = read_trained(workdir, pretraining_model(model).abstract_params, tokenizer.fingerprint, options.step)
    written = write_pretrained(directory, trained, model, tokenizer, options)
    library = LIBRARIES[options.kind]
    card = model_card(trained, model, tokenizer, library, written.family, written.is_encoder)
    (directory / "README.md").write_text(card + written.of_program)
    return trained.step


@dataclasses.dataclass(frozen=True)
class Written:
    """What a card tells of the files beside it."""

    family: Family  # as which the model is written
    is_encoder: bool  # without heads
    of_program: str = ""  # the card's part about the program that it is written as, if it is


def write_pretrained(
    directory: epath.Path,
    trained: Trained,
    model: ModelConfig,
    tokenizer: Tokenizer,
    options: ExportOptions,
    own: OwnSettings = NOTHING_SAID,
) -> Written:
    """Write all but the card of a pretraining model, or of an encoder alone; `own` is what it says of its use."""
    is_encoder = options.is_encoder or "masked_lm" not in trained.params
    if options.kind == "tensorflow":
        _check_is_original(model, is_encoder)
    length = model.max_position_embeddings
    servable = Servable(
        params=_encoder(trained.params) if is_encoder else trained.params,
        config=model,
        head=ENCODER if is_encoder else MASKED_LM,
        tokenizer=tokenizer,
        max_length=own.length(length) if is_encoder and options.write_program else length,
        family=_family(model, options, ENCODER if is_encoder else PRETRAINING),
        pooling=own.pooling or "mean",
        normalized=own.normalized,
    )
    return Written(servable.family, is_encoder, _write(directory, servable, options, own, trained.step))


def _write(directory: epath.Path, model: Servable, options: ExportOptions, own: OwnSettings, step: int) -> str:
    """Write all but the card; gives the card's part about the program that the model is written as, if it is."""
    params, config, tokenizer, family = model.params, model.config, model.tokenizer, model.family
    trained = Trained(step, params, {}, {})
    task = None if options.is_encoder else model.task
    of_program = ""
    match options.kind:
        case "huggingface" if task:
            write_task_model(directory, task, params, tokenizer, family)
        case "huggingface" if model.head == ENCODER:
            write_encoder(directory, params, config, tokenizer, model.max_length, family)
        case "huggingface":
            write_huggingface(directory, trained, config, tokenizer, family)
        case "sentence-transformers":
            own = dataclasses.replace(own, normalized=own.normalized or options.normalize)
            write_sentence_transformers(directory, params, config, tokenizer, own, family)
        case "tensorflow":
            write_tensorflow(directory, trained, config, tokenizer)
        case "numpy":
            write_numpy(directory, trained, config, tokenizer)
            if task:
                write_json(directory / "task_settings.json", {"task": task.kind, **task.settings})
        case "onnx" | "stablehlo" if options.write_program:
            of_program = options.write_program(directory, model)
    makes_vectors = model.task is None or "pooling" in model.task.settings
    if options.kind in ("huggingface", "numpy") and makes_vectors:
        write_own_settings(directory, own, config.hidden_size)
    return of_program


def _family(model: ModelConfig, options: ExportOptions, head: str) -> Family:
    if options.is_of_a_family:
        return chosen_family(model, options.family, head)
    if options.family:
        raise UserError(f"--family={options.family} is for transformers; leave it out with --format={options.kind}")
    return family_of(model, head)


def export_fine_tuned(directory: epath.Path, workdir: epath.PathLike, options: ExportOptions) -> int:
    """Write a fine-tuned model, whose best step's weights are all that there is; gives the step.

    Raises:
      UserError: it is damaged, a step is asked for, or the format has no names for a task's head.
    """
    if options.step is not None:
        raise UserError(f"--step={options.step}: of a fine-tuned model the best step alone is kept; leave it out")
    if options.kind == "tensorflow":
        raise UserError("--format=tensorflow is for pretrained models; give --format=huggingface or numpy")
    model = fine_tuned.read_description(workdir)
    head = ENCODER if options.is_encoder else CLASSES[model.kind].head
    family = _family(model.model, options, head)
    tokenizer = fine_tuned.read_tokenizer(workdir, model)
    params = nest(fine_tuned.read_weights(epath.Path(workdir) / fine_tuned.WEIGHTS, model.weights_crc32c))
    params = _encoder(params) if options.is_encoder else params
    length, own = model.text.max_length, own_settings(workdir)
    servable = Servable(params, model.model, head, tokenizer, length, family, model, model.pooling, own.normalized)
    of_program = _write(directory, servable, options, own, model.step)
    summary, config = _json(workdir, "scores.json"), _json(workdir, "config.json")
    card = task_card(model, summary, config, LIBRARIES[options.kind], family, options.is_encoder)
    (directory / "README.md").write_text(card + of_program)
    return model.step


def _encoder(params: Params) -> Params:
    return {"encoder": params["encoder"]}


def _check_is_original(model: ModelConfig, is_encoder: bool) -> None:
    """Raise UserError where the model is not the original BERT with both heads."""
    plain = {"embedding_size": 0, "num_hidden_groups": 0, "left_to_right": False, "next_sentence": True}
    differs = [f"{name}={getattr(model, name)}" for name, value in plain.items() if getattr(model, name) != value]
    differs += filter(None, [model.how_unlike_bert])
    if not model.type_vocab_size:
        differs.append("type_vocab_size=0")
    if is_encoder:
        differs.append("an encoder without heads")
    if differs:
        others = "numpy or stablehlo" if without_place(model) else "huggingface or numpy"
        raise UserError(
            f"--format=tensorflow has names for BERT only, and this model is of {', '.join(differs)}; "
            f"give --format={others}"
        )


def _json(workdir: epath.PathLike, name: str) -> dict[str, Any]:
    """A file that the card tells of; it does without."""
    path = epath.Path(workdir) / name
    if not path.exists():
        return {}
    values: dict[str, Any] = read_json(path, dict, "move it away: it is read for the model card")
    return values

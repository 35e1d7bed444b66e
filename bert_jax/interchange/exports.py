"""What can be written of a workdir, and in which formats."""

import dataclasses
import json
from typing import Any

from etils import epath

from bert_jax.config import ModelConfig
from bert_jax.errors import UserError
from bert_jax.interchange.huggingface import write_huggingface
from bert_jax.interchange.huggingface_tasks import write_task_model
from bert_jax.interchange.model_card import model_card
from bert_jax.interchange.numpy import write_numpy
from bert_jax.interchange.renames import nest
from bert_jax.interchange.sentence_transformers import write_sentence_transformers
from bert_jax.interchange.task_card import task_card
from bert_jax.interchange.tensorflow import write_tensorflow
from bert_jax.model.pretraining import pretraining_model
from bert_jax.storage.json_file import read_json
from bert_jax.text.tokenizer import load_tokenizer
from bert_jax.workdir import fine_tuned
from bert_jax.workdir.run_directory import read_config
from bert_jax.workdir.trained import Trained, read_trained

# Format -> the library that its files are for, as model cards name it.
LIBRARIES = {
    "huggingface": "transformers",
    "sentence-transformers": "sentence-transformers",
    "numpy": "numpy",
    "tensorflow": "tensorflow",
}


def export_pretrained(
    directory: epath.Path, workdir: epath.PathLike, kind: str, step: int | None, normalize: bool
) -> int:
    """Write a pretraining run's weights at `step`, or the newest, in the format `kind`; gives the step.

    Raises:
      UserError: there is no such run or checkpoint, or its tokenizer is another one.
    """
    model, tokenizer = read_config(workdir).model, load_tokenizer(f"{workdir}/tokenizer")
    _check_is_bert(model, kind, needs_pair_head=kind != "sentence-transformers")
    trained = read_trained(workdir, pretraining_model(model).abstract_params, tokenizer.fingerprint, step)
    if kind == "sentence-transformers":
        length = model.max_position_embeddings
        write_sentence_transformers(directory, trained.params, model, tokenizer, length, normalize)
    else:
        write = {"huggingface": write_huggingface, "numpy": write_numpy, "tensorflow": write_tensorflow}[kind]
        write(directory, trained, model, tokenizer)
    (directory / "README.md").write_text(model_card(trained, model, tokenizer, LIBRARIES[kind]))
    return trained.step


def export_fine_tuned(
    directory: epath.Path, workdir: epath.PathLike, kind: str, step: int | None, normalize: bool
) -> int:
    """Write a fine-tuned model, whose best step's weights are all that there is, in the format `kind`; gives the step.

    Raises:
      UserError: it is damaged, a step is asked for, or the format has no names for a task's head.
    """
    if step is not None:
        raise UserError(f"--step={step}: of a fine-tuned model the best step alone is kept; leave it out")
    if kind == "tensorflow":
        raise UserError("--format=tensorflow is for pretrained models; give --format=huggingface or numpy")
    model = fine_tuned.read_description(workdir)
    _check_is_bert(model.model, kind, needs_pair_head=False)
    tokenizer = load_tokenizer(f"{workdir}/tokenizer")
    if tokenizer.fingerprint != model.vocab_fingerprint:
        raise UserError(
            f"{workdir}/tokenizer is not the vocabulary that the model was trained with; "
            "restore that directory from the model of --init_from"
        )
    params = nest(fine_tuned.read_weights(epath.Path(workdir) / fine_tuned.WEIGHTS, model.weights_crc32c))
    match kind:
        case "huggingface":
            write_task_model(directory, model, params, tokenizer)
        case "sentence-transformers":
            length = model.text.max_length
            write_sentence_transformers(directory, params, model.model, tokenizer, length, normalize)
        case "numpy":
            write_numpy(directory, Trained(model.step, params, {}, {}), model.model, tokenizer)
            task = {"task": model.kind, **model.settings}
            (directory / "task_settings.json").write_text(json.dumps(task, indent=2, ensure_ascii=False) + "\n")
    card = task_card(model, _json(workdir, "scores.json"), _json(workdir, "config.json"), LIBRARIES[kind])
    (directory / "README.md").write_text(card)
    return model.step


def _check_is_bert(model: ModelConfig, kind: str, needs_pair_head: bool) -> None:
    """Raise UserError where the format has names for BERT alone and the model is not BERT."""
    like_bert = dataclasses.replace(
        model, type_vocab_size=model.type_vocab_size or 2, embedding_size=0, num_hidden_groups=0, left_to_right=False
    )
    if needs_pair_head:
        like_bert = dataclasses.replace(like_bert, next_sentence=True)
    differs = [f"{name}={value}" for name, value in vars(model).items() if value != getattr(like_bert, name)]
    if differs and kind != "numpy":
        raise UserError(
            f"--format={kind} has names for BERT only, and this model is of {', '.join(differs)}; give --format=numpy"
        )


def _json(workdir: epath.PathLike, name: str) -> dict[str, Any]:
    """A file that the card tells of; it does without."""
    path = epath.Path(workdir) / name
    if not path.exists():
        return {}
    values: dict[str, Any] = read_json(path, dict, "move it away: it is read for the model card")
    return values

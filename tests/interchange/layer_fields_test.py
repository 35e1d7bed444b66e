"""Layers that are not BERT's: which formats refuse them, by name and before weights are read, which here are none."""

import dataclasses

import pytest
from etils import epath

from bert_jax.config import Config, PhaseConfig
from bert_jax.config.file import to_json
from bert_jax.errors import UserError
from bert_jax.interchange.exports import ExportOptions
from bert_jax.interchange.foreign_exports import export
from bert_jax.serving.options import Options
from bert_jax.serving.programs import program_writer
from tests.layer_fields import FIELDS

OF_FAMILIES = ("huggingface", "sentence-transformers")


def refusal(workdir, kind, family=None):
    wanted = ExportOptions(kind, family=family, write_program=program_writer(kind, Options()))
    with pytest.raises(UserError) as error:
        export(epath.Path(workdir.parent), str(workdir), None, wanted)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", FIELDS)
def test_a_pretraining_run(workdirs, tmp_path, name):
    model = dataclasses.replace(workdirs.MODEL, **{name: FIELDS[name]})
    workdirs.TOKENIZER.save(epath.Path(tmp_path / "run" / "tokenizer"))
    (tmp_path / "run" / "config.json").write_text(
        to_json(Config(model=model, phases=(PhaseConfig(max_seq_length=32),)))
    )
    (tmp_path / "run" / "checkpoints").mkdir()
    for kind in (*OF_FAMILIES, "onnx") if name != "position_embedding" else ():  # RoFormer has such
        said = refusal(tmp_path / "run", kind, family="bert" if kind == "onnx" else None)
        expected = f"Hugging Face's BERT and its family have no place for {name}={FIELDS[name]}; give --format=numpy "
        assert said == f"{expected}or stablehlo, or onnx without --family"
    said = refusal(tmp_path / "run", "tensorflow")
    assert said == (
        f"--format=tensorflow has names for BERT only, and this model is of {name}={FIELDS[name]}; "
        f"give --format={'huggingface or numpy' if name == 'position_embedding' else 'numpy or stablehlo'}"
    )
    for kind in ("numpy", "onnx"):
        assert "has no checkpoint yet" in refusal(tmp_path / "run", kind)


def test_a_fine_tuned_model(workdirs, tmp_path):
    workdirs.write_workdir(tmp_path / "run", "similarity", dataclasses.replace(workdirs.MODEL, **FIELDS))
    (tmp_path / "run" / "model.safetensors").write_bytes(b"")
    for kind in OF_FAMILIES:
        said = "no place for pre_norm=True, gated_feed_forward=True, use_bias=False, position_embedding=rotary; give"
        assert said in refusal(tmp_path / "run", kind)
    assert "model.safetensors is not as it was written" in refusal(tmp_path / "run", "onnx")

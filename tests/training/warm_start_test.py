"""Continued pretraining: from our own runs, from Hugging Face's files, with more positions, and what is refused."""

import dataclasses
import json
import re
import shutil

import jax
import numpy as np
import pytest
import safetensors.torch
import torch
from etils import epath

from bert_jax.config import Config, MeshConfig, ModelConfig, OptimizerConfig, PhaseConfig
from bert_jax.config.file import from_dict
from bert_jax.errors import UserError
from bert_jax.interchange.bert_names import TENSORFLOW
from bert_jax.interchange.foreign import AdamState
from bert_jax.interchange.numpy import write_numpy
from bert_jax.interchange.pretrained import read_pretrained
from bert_jax.interchange.renames import to_theirs
from bert_jax.interchange.tensor_bundle import write_bundle
from bert_jax.interchange.tensorflow import to_original_config
from bert_jax.model.embeddings import POSITIONS
from bert_jax.model.functional import flatten, nest, param_shardings
from bert_jax.model.pretraining import pretraining_model
from bert_jax.parallel.mesh import make_mesh
from bert_jax.text.load_tokenizer import load_tokenizer
from bert_jax.training import warm_start
from bert_jax.training.optimizer import make_optimizer
from bert_jax.training.state import abstract_state, init_state, state_shardings
from bert_jax.training.warm_start import FirstWeights, fill_in, read_weights, start_from
from bert_jax.workdir.checkpoints import Checkpoints
from bert_jax.workdir.run_directory import read_config
from bert_jax.workdir.trained import Trained, read_trained
from tests.layer_fields import FIELDS
from tests.random_params import random_params
from tests.state_dicts import from_huggingface

RECORDS = load_tokenizer("ids:101")  # where the records' vocabulary is of no importance
transformers = pytest.importorskip("transformers")


def hugging_face(config, directory):
    """A torch BERT of this architecture with random weights, saved as transformers saves it."""
    theirs = transformers.BertConfig(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        num_hidden_layers=config.num_hidden_layers,
        num_attention_heads=config.num_attention_heads,
        intermediate_size=config.intermediate_size,
        max_position_embeddings=config.max_position_embeddings,
    )
    transformers.BertForPreTraining(theirs).save_pretrained(directory)
    return directory


def fresh_params(config, mesh):
    model = pretraining_model(config)
    shardings = param_shardings(model, mesh)
    return jax.jit(model.init, out_shardings=shardings)(jax.random.key(1)), shardings


@pytest.mark.parametrize("sizes", [(1, 1, 1), (2, 2, 2)])
def test_every_weight_of_hugging_faces_is_taken_on_any_mesh(model_config, tmp_path, sizes):
    weights = read_weights(hugging_face(model_config, tmp_path), False, model_config, RECORDS)
    mesh = make_mesh(MeshConfig(*sizes), jax.devices()[: np.prod(sizes)])
    params, shardings = fresh_params(model_config, mesh)
    filled = flatten(fill_in(params, weights.params, shardings))
    assert filled.keys() == weights.params.keys()
    for path, array in weights.params.items():
        np.testing.assert_array_equal(filled[path], array, err_msg=path)
        assert filled[path].sharding == flatten(shardings)[path]


def test_missing_heads_stay_fresh_and_are_named(model_config, tmp_path, caplog):
    transformers.BertModel.from_pretrained(hugging_face(model_config, tmp_path / "all")).save_pretrained(tmp_path)
    weights = read_weights(tmp_path, False, model_config, RECORDS)
    assert "masked_lm/output_bias" in caplog.text
    mesh = make_mesh(MeshConfig(1, 1, 1), jax.devices()[:1])
    params, shardings = fresh_params(model_config, mesh)
    before, filled = flatten(params), flatten(fill_in(params, weights.params, shardings))
    np.testing.assert_array_equal(filled["next_sentence/kernel"], before["next_sentence/kernel"])
    assert not np.array_equal(filled["encoder/pooler/kernel"], before["encoder/pooler/kernel"])


def test_a_numpy_export_with_other_layers_is_gone_on_from(workdirs, tmp_path):
    config = dataclasses.replace(workdirs.MODEL, **FIELDS)
    params = random_params(config)
    write_numpy(epath.Path(tmp_path), Trained(1, params, {}, {}), config, workdirs.TOKENIZER)
    found = read_weights(tmp_path, False, config, workdirs.TOKENIZER)
    assert found.params.keys() == flatten(params).keys()
    for path, array in flatten(params).items():
        np.testing.assert_array_equal(found.params[path], array, err_msg=path)
    with pytest.raises(UserError, match=r"does not fit this run: pre_norm=True .*give --config.model.pre_norm=True"):
        read_weights(tmp_path, False, workdirs.MODEL, workdirs.TOKENIZER)
    with pytest.raises(UserError, match="another vocabulary in"):
        read_weights(tmp_path, False, config, workdirs.OTHER_TOKENIZER)


def test_positions_grow(model_config, tmp_path):
    weights = read_weights(hugging_face(model_config, tmp_path), False, model_config, RECORDS)
    longer = ModelConfig(**{**vars(model_config), "max_position_embeddings": 64})
    mesh = make_mesh(MeshConfig(1, 1, 1), jax.devices()[:1])
    params, shardings = fresh_params(longer, mesh)
    before = np.asarray(flatten(params)[POSITIONS])
    filled = flatten(fill_in(params, weights.params, shardings))[POSITIONS]
    np.testing.assert_array_equal(filled[:16], weights.params[POSITIONS])
    np.testing.assert_array_equal(filled[16:], before[16:])


def test_new_positions_are_named_once_and_each_shape_of_theirs_is_compiled_once(model_config, caplog):
    """With both of Adam's moments; what has its shape already is placed without a program."""
    longer = ModelConfig(**{**vars(model_config), "max_position_embeddings": 64})
    mesh = make_mesh(MeshConfig(1, 1, 1), jax.devices()[:1])
    model, optimizer = pretraining_model(longer), make_optimizer(OptimizerConfig(), [PhaseConfig()])
    shardings = state_shardings(model, optimizer, mesh, shard_over_data=False)
    state = init_state(model, optimizer, shardings, seed=0)
    params = jax.device_get(pretraining_model(model_config).init(jax.random.key(1)))
    warm_start._over_first_rows.clear_cache()
    with jax.log_compiles():
        started = start_from(FirstWeights(flatten(params), AdamState(7, params, params)), state, shardings)
    assert warm_start._over_first_rows._cache_size() == 1
    assert sum("Finished tracing" in line for line in caplog.messages) <= 1
    assert sum("positions 16 to 63 are new" in line for line in caplog.messages) == 1
    for found in (started["params"], started["opt_state"]["adam"].mu, started["opt_state"]["adam"].nu):
        for path, array in flatten(params).items():
            np.testing.assert_array_equal(flatten(found)[path][: len(array)], array, err_msg=path)


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        ({"hidden_size": 64}, "--config.model.hidden_size=32"),
        ({"num_attention_heads": 4}, "--config.model.num_attention_heads=8"),
        ({"vocab_size": 102}, "records built with --vocab=ids:101,pad=0,unk=1,cls=2,sep=3,mask=4"),
        ({"max_position_embeddings": 8}, "--config.model.max_position_embeddings=16"),
    ],
)
def test_another_architecture_is_refused(model_config, tmp_path, change, remedy):
    hugging_face(model_config, tmp_path)
    other = ModelConfig(**{**vars(model_config), **change})
    with pytest.raises(UserError, match=remedy):
        read_weights(tmp_path, False, other, RECORDS)


@pytest.mark.parametrize("file", ["config.json", "weights.safetensors", "bert_model.ckpt.index"])
@pytest.mark.parametrize("name", FIELDS)
def test_layers_that_are_not_berts_are_not_in_berts_files(model_config, tmp_path, file, name):
    """Refused before the weights are read, of which there are none here, or one."""
    if file == "weights.safetensors":
        tensor = torch.zeros(4)
        safetensors.torch.save_file({"bert.encoder.layer.0.output.dense.bias": tensor}, tmp_path / file)
    for each in {file, "model.safetensors"} if file != "weights.safetensors" else ():
        (tmp_path / each).write_text('{"model_type": "bert"}')
    other = ModelConfig(**vars(model_config) | {name: FIELDS[name]})
    plain = getattr(model_config, name)
    path = tmp_path / file if file == "weights.safetensors" else tmp_path
    said = rf"layers of BERT or its family, which are not of {name}={FIELDS[name]}; give {name}={plain}, or a workdir"
    with pytest.raises(UserError, match=said) as error:
        read_weights(path, False, other, RECORDS)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=said):
        read_pretrained(path, other)


@pytest.mark.parametrize("name", FIELDS)
def test_a_run_with_other_layers_is_refused(workdirs, tmp_path, name):
    """Also in the other direction."""
    plain, value = getattr(workdirs.MODEL, name), FIELDS[name]
    changed = ModelConfig(**vars(workdirs.MODEL) | {name: value})
    for number, (theirs, ours) in enumerate([(workdirs.MODEL, changed), (changed, workdirs.MODEL)]):
        workdirs.write_workdir(tmp_path / f"{number}", "classification", theirs)
        was, here = (plain, value) if theirs is workdirs.MODEL else (value, plain)
        said = rf"does not fit this run: {name}={was} \(here {here}\); give --config.model.{name}={was}$"
        with pytest.raises(UserError, match=said):
            read_weights(tmp_path / f"{number}", False, ours, workdirs.TOKENIZER)
        assert read_weights(tmp_path / f"{number}", False, theirs, workdirs.TOKENIZER).params


def test_all_that_differs_is_one_message_with_what_to_give(model_config, tmp_path):
    write_vocabulary(tmp_path, 101)
    write_vocabulary(tmp_path / "other", 201)
    hugging_face(model_config, tmp_path)
    change = {"hidden_size": 64, "num_hidden_layers": 3, "max_position_embeddings": 8, "vocab_size": 201}
    other = ModelConfig(**vars(model_config) | change)
    with pytest.raises(UserError) as error:
        read_weights(tmp_path, False, other, load_tokenizer(tmp_path / "other"))
    assert str(error.value) == (
        f"--config.init_from={tmp_path} does not fit this run: vocab_size=101 (here 201), hidden_size=32 (here 64), "
        "num_hidden_layers=2 (here 3), max_position_embeddings=16 (here 8), "
        f"another vocabulary in {tmp_path} than the records have; give --config.model.hidden_size=32 "
        "--config.model.num_hidden_layers=2 --config.model.max_position_embeddings=16 "
        f"and records built with --vocab={tmp_path}"
    )


def write_vocabulary(directory, size, special=(0, 1, 2, 3, 4)):
    directory.mkdir(exist_ok=True)
    tokens = [f"word{number}" for number in range(size)]
    for number, token in zip(special, ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"), strict=True):
        tokens[number] = token
    (directory / "vocab.txt").write_text("\n".join(tokens) + "\n")
    return directory


@pytest.mark.parametrize("cased", [True, False])
def test_a_bare_vocabulary_may_be_cased_or_not(model_config, tmp_path, cased):
    write_vocabulary(tmp_path, 101)
    hugging_face(model_config, tmp_path)
    assert read_weights(tmp_path, False, model_config, load_tokenizer(tmp_path, do_lower_case=not cased)).params
    other = write_vocabulary(tmp_path / "other", 101, special=(0, 1, 2, 3, 5))
    with pytest.raises(UserError, match=f"another vocabulary in {tmp_path} than .* built with --vocab={tmp_path}$"):
        read_weights(tmp_path, False, model_config, load_tokenizer(other))


def test_of_ids_only_number_and_special_ones_are_compared(model_config, tmp_path):
    """A molecule's vocab.txt is no list of WordPieces: its records are of ids."""
    write_vocabulary(tmp_path, 101, special=(0, 11, 12, 13, 14))
    hugging_face(model_config, tmp_path)
    special = "pad=0,unk=11,cls=12,sep=13,mask=14"
    assert read_weights(tmp_path, False, model_config, load_tokenizer(f"ids:101,{special}")).params
    with pytest.raises(UserError, match=rf"another vocabulary in .* records built with --vocab=ids:101,{special}$"):
        read_weights(tmp_path, False, model_config, load_tokenizer("ids:101,unk=11,cls=12,sep=13,mask=15"))
    larger = ModelConfig(**vars(model_config) | {"vocab_size": 102})
    with pytest.raises(UserError, match=rf"vocab_size=101 \(here 102\); give records .*--vocab=ids:101,{special}$"):
        read_weights(tmp_path, False, larger, load_tokenizer(f"ids:102,{special}"))


def test_a_vocabulary_of_ids_beside_the_weights_is_compared(model_config, tmp_path, caplog):
    load_tokenizer("ids:101,mask=50").save(tmp_path)
    hugging_face(model_config, tmp_path)
    assert read_weights(tmp_path, False, model_config, load_tokenizer("ids:101,mask=50")).params
    assert "not checked" not in caplog.text
    with pytest.raises(UserError, match="another vocabulary"):
        read_weights(tmp_path, False, model_config, RECORDS)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("framework", ["huggingface", "torch", "tensorflow"])
def test_weights_that_are_no_numbers_are_refused(model_config, tmp_path, framework, value):
    spoil(hugging_face(model_config, tmp_path), model_config, framework, value)
    with pytest.raises(UserError, match=r"encoder/layer_1/output/kernel is not finite \(NaN or infinity\)") as error:
        read_weights(tmp_path, False, model_config, RECORDS)
    assert f"--config.init_from={tmp_path}: " in str(error.value)


def spoil(directory, config, framework, value):
    """Put one such number into weights saved by transformers, and save them as the framework's people do."""
    name = "bert.encoder.layer.1.output.dense.weight"
    state_dict = safetensors.torch.load_file(directory / "model.safetensors")
    state_dict[name][3, 5] = value
    if framework == "huggingface":
        safetensors.torch.save_file(state_dict, directory / "model.safetensors")
        return
    (directory / "model.safetensors").unlink()
    if framework == "torch":
        torch.save(state_dict, directory / "pytorch_model.bin")
        return
    params = from_huggingface({name: tensor.numpy() for name, tensor in state_dict.items()}, config)
    write_bundle(directory / "bert_model.ckpt", to_theirs(params, TENSORFLOW, config))
    (directory / "bert_config.json").write_text(json.dumps(to_original_config(config)))


def test_what_is_too_large_for_float32_is_no_number(model_config, tmp_path):
    hugging_face(model_config, tmp_path)
    state_dict = safetensors.torch.load_file(tmp_path / "model.safetensors")
    state_dict["bert.pooler.dense.bias"] = torch.full([32], 1e300, dtype=torch.float64)
    safetensors.torch.save_file(state_dict, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match="encoder/pooler/bias is not finite"):
        read_weights(tmp_path, False, model_config, RECORDS)


def test_what_is_no_weights_is_refused(model_config, tmp_path):
    with pytest.raises(UserError, match=r"neither a workdir .* checkpoint: there is nothing of that name"):
        read_weights(tmp_path / "nothing", False, model_config, RECORDS)


def last_loss(workdir, split):
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [line["masked_lm_loss"] for line in lines if line["split"] == split]


def test_the_encoder_of_a_fine_tuned_model_is_taken(workdirs, tmp_path, caplog):
    workdirs.write_workdir(tmp_path / "run", "classification")
    first = read_weights(tmp_path / "run", False, workdirs.MODEL, workdirs.TOKENIZER)
    expected = flatten(workdirs.random_params("classification")["encoder"], "encoder/")
    assert first.params.keys() == expected.keys()
    for path, array in expected.items():
        np.testing.assert_array_equal(first.params[path], array)
    assert "next_sentence/kernel" in caplog.text
    assert "newly initialised" in caplog.text
    with pytest.raises(UserError, match=r"init_moments: .* is neither a workdir of bert_jax.pretrain"):
        read_weights(tmp_path / "run", True, workdirs.MODEL, workdirs.TOKENIZER)
    with pytest.raises(UserError, match="another vocabulary"):
        read_weights(tmp_path / "run", False, workdirs.MODEL, workdirs.OTHER_TOKENIZER)
    (tmp_path / "run" / "task.json").unlink()
    (tmp_path / "run" / "seed_0").mkdir()
    with pytest.raises(UserError, match="has not ended"):
        read_weights(tmp_path / "run", False, workdirs.MODEL, workdirs.TOKENIZER)


def test_a_run_goes_on_from_another_runs_weights(chain, finished_run, tmp_path):
    chain.pretrain(tmp_path, f"--config.init_from={finished_run}", "--config.model.max_position_embeddings=128")
    assert last_loss(tmp_path, "train")[0] < last_loss(finished_run, "train")[0] - 0.3


@pytest.mark.slow
def test_a_run_goes_on_from_its_own_export(chain, finished_run, tmp_path):
    chain.run("export", f"--workdir={finished_run}", "--format=huggingface", f"--output={tmp_path / 'hf'}")
    chain.pretrain(tmp_path / "train", f"--config.init_from={tmp_path / 'hf'}")
    assert last_loss(tmp_path / "train", "train")[0] < last_loss(finished_run, "train")[0] - 0.3


@pytest.mark.slow
def test_a_run_goes_on_from_its_own_tensorflow_export(chain, finished_run, tmp_path):
    chain.run("export", f"--workdir={finished_run}", "--format=tensorflow", f"--output={tmp_path / 'tf'}")
    chain.pretrain(tmp_path / "train", f"--config.init_from={tmp_path / 'tf'}")
    assert last_loss(tmp_path / "train", "train")[0] < last_loss(finished_run, "train")[0] - 0.3


@pytest.mark.slow
def test_records_of_ids_go_on_from_the_originals_encoder(chain, tmp_path):
    """A molecule's BERT: its vocab.txt lies beside an only checkpoint, which has no heads but a classifier's."""
    draw = np.random.default_rng(0)
    lines = [" ".join(map(str, draw.integers(15, 591, 12))) for _ in range(240)]
    (tmp_path / "ids.txt").write_text("\n\n".join("\n".join(lines[at : at + 6]) for at in range(0, 240, 6)))
    flags = ["--vocab=ids:591,pad=0,unk=11,cls=12,sep=13,mask=14", "--max_seq_length=32", "--num_workers=1"]
    chain.run("build_records", f"--input={tmp_path}/ids.txt", f"--output={tmp_path}/records", "--holdout=0.1", *flags)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    config = ModelConfig(591, **sizes, max_position_embeddings=64)
    directory = write_vocabulary(tmp_path / "molecules", 591, special=(0, 11, 12, 13, 14))
    (directory / "bert_config.json").write_text(json.dumps(to_original_config(config)))
    params = jax.device_get(pretraining_model(config).init(jax.random.key(3)))
    arrays = to_theirs(params, TENSORFLOW, config) | {"output_weights": np.zeros((12, 32), np.float32)}
    write_bundle(directory / "model.ckpt-5", {name: one for name, one in arrays.items() if "cls/" not in name})

    flags = [f"--config.data.records={tmp_path}/records", f"--config.init_from={directory}"]
    done = chain.pretrain(tmp_path / "train", *flags, "--config.phases[0].steps=2")
    assert f"{directory}/model.ckpt-5 does not hold masked_lm/transform/kernel" in done.stderr
    assert "holds output_weights, which have no place here: not used" in done.stderr

    done = chain.pretrain(tmp_path / "other", *flags, "--config.model.num_hidden_layers=3", check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"error: --config.init_from={directory} does not fit this run: num_hidden_layers=1 (here 3); "
        "give --config.model.num_hidden_layers=1"
    )
    assert not (tmp_path / "other").exists()


def test_a_run_whose_weights_went_bad_is_not_gone_on_from(chain, finished_run, tmp_path):
    config = read_config(finished_run).model
    trained = read_trained(
        finished_run,
        pretraining_model(config).abstract_params,
        load_tokenizer(finished_run / "tokenizer").fingerprint,
        None,
    )
    trained.params["encoder"]["layer_0"]["output"]["kernel"] = np.full((64, 32), np.nan, np.float32)
    for name in ("config.json", "tokenizer"):
        (shutil.copytree if name == "tokenizer" else shutil.copy)(finished_run / name, tmp_path / name)
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        checkpoints.save(trained.step, jax.device_put({"params": trained.params}), trained.description)
    done = chain.pretrain(tmp_path / "train", f"--config.init_from={tmp_path}", check=False)
    assert done.returncode == 1
    assert f"{tmp_path}: encoder/layer_0/output/kernel is not finite" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "train").exists()


def test_moments_are_taken_over_on_request(model_config, tmp_path):
    mesh = make_mesh(MeshConfig(2, 2, 2), jax.devices()[:8])
    model, optimizer = pretraining_model(model_config), make_optimizer(OptimizerConfig(), [PhaseConfig()])
    shardings = state_shardings(model, optimizer, mesh, shard_over_data=True)
    state = init_state(model, optimizer, shardings, seed=0)
    draw = np.random.default_rng(0)
    mu, nu = ({path: draw.random(array.shape, np.float32) for path, array in flat(state)} for _ in range(2))
    arrays = to_theirs(jax.device_get(state["params"]), TENSORFLOW, model_config)
    for slot, moments in (("adam_m", mu), ("adam_v", nu)):
        theirs = to_theirs(nest(moments), TENSORFLOW, model_config)
        arrays |= {f"{name}/{slot}": array for name, array in theirs.items()}
    write_bundle(tmp_path / "model.ckpt-7", {**arrays, "global_step": np.array(7, np.int64)})
    (tmp_path / "bert_config.json").write_text(json.dumps(to_original_config(model_config)))

    first = read_weights(tmp_path / "model.ckpt-7", True, model_config, RECORDS)
    started = start_from(first, init_state(model, optimizer, shardings, seed=1), shardings)

    jax.tree.map(np.testing.assert_array_equal, started["params"], state["params"])
    adam = started["opt_state"]["adam"]
    jax.tree.map(np.testing.assert_array_equal, (adam.mu, adam.nu), (nest(mu), nest(nu)))
    assert (started["step"], adam.count) == (0, 7)
    assert jax.tree.all(jax.tree.map(lambda array, sharding: array.sharding == sharding, started, shardings))


def flat(state):
    return flatten(state["params"]).items()


def test_moments_may_grow_in_length_and_are_numbers_too(model_config, tmp_path):
    model = pretraining_model(model_config)
    arrays = to_theirs(jax.device_get(model.init(jax.random.key(0))), TENSORFLOW, model_config)
    slots = {f"{name}/{slot}": abs(array) for name, array in arrays.items() for slot in ("adam_m", "adam_v")}
    write_bundle(tmp_path / "model.ckpt-7", {**arrays, **slots, "global_step": np.array(7, np.int64)})
    (tmp_path / "bert_config.json").write_text(json.dumps(to_original_config(model_config)))
    config = ModelConfig(**vars(model_config) | {"hidden_act": "gelu", "max_position_embeddings": 64})
    first = read_weights(tmp_path, True, config, RECORDS)
    assert flatten(first.moments.mu)[POSITIONS].shape == (16, 32)
    slots["bert/pooler/dense/bias/adam_v"][5] = np.nan
    write_bundle(tmp_path / "model.ckpt-7", {**arrays, **slots, "global_step": np.array(7, np.int64)})
    with pytest.raises(UserError, match="Adam's moments: nu/encoder/pooler/bias is not finite"):
        read_weights(tmp_path, True, config, RECORDS)


def test_moments_of_other_weights_are_refused(model_config, tmp_path):
    with pytest.raises(UserError, match=r"neither a workdir of .* nor an original-BERT checkpoint; leave it out"):
        read_weights(hugging_face(model_config, tmp_path), True, model_config, RECORDS)


LAMB = ["--config.optimizer.trust_ratio=true", "--config.optimizer.bias_correction=true"]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("flags", [[], pytest.param(LAMB, marks=pytest.mark.slow)], ids=["adam", "lamb"])
def test_more_steps_after_the_end(chain, finished_run, tmp_path, flags):
    """They are refused in the same workdir; the way that is named then continues with weights and moments."""
    workdir = finished_run
    if flags:
        workdir = tmp_path / "first"
        chain.pretrain(workdir, *flags)
    longer = [*flags, "--config.phases[0].steps=25"]
    refused = chain.pretrain(workdir, *longer, check=False)
    assert refused.returncode == 1
    last = refused.stderr.splitlines()[-1]
    named = [f"--config.init_from={workdir}", "--config.init_moments=true"]
    assert re.match(
        rf"error: {workdir} was started with phases\S+steps=20, not 25: give the same values to resume", last
    )
    assert f"or another --workdir (for more steps: with {' '.join(named)})" in last

    done = chain.pretrain(tmp_path / "longer", *longer, *named)
    assert "Adam's moments are those after 20 steps" in done.stderr
    first_line, last_line = (last_loss(workdir, "train")[number] for number in (0, -1))
    assert last_loss(tmp_path / "longer", "train")[0] < min(first_line, last_line + 0.1)


@pytest.mark.slow
def test_moments_of_our_own_run_are_those_of_its_last_checkpoint(finished_run):
    config = from_dict(json.loads((finished_run / "config.json").read_text()), "config.json", Config)
    mesh = make_mesh(MeshConfig(2, 1, 1), jax.devices()[:2])
    model, optimizer = pretraining_model(config.model), make_optimizer(config.optimizer, config.phases)
    shardings = state_shardings(model, optimizer, mesh, shard_over_data=True)
    with Checkpoints(finished_run / "checkpoints", read_only=True) as checkpoints:
        last = checkpoints.restore(20, abstract_state(model, optimizer, shardings))

    first = read_weights(finished_run, True, config.model, load_tokenizer(finished_run / "tokenizer"))
    started = start_from(first, init_state(model, optimizer, shardings, seed=1), shardings)

    jax.tree.map(np.testing.assert_array_equal, started["params"], last["params"])
    jax.tree.map(np.testing.assert_array_equal, started["opt_state"]["adam"], last["opt_state"]["adam"])
    assert started["opt_state"]["adam"].count == 20
    assert started["step"] == started["opt_state"]["rate"].count == 0
    assert max(float(abs(leaf).max()) for leaf in jax.tree.leaves(started["opt_state"]["adam"].mu)) > 0
    assert jax.tree.all(jax.tree.map(lambda array, sharding: array.sharding == sharding, started, shardings))


def test_a_failed_start_leaves_nothing_behind(chain, tmp_path):
    done = chain.pretrain(tmp_path / "train", f"--config.init_from={tmp_path}", check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: --config.init_from=")
    assert not (tmp_path / "train").exists()

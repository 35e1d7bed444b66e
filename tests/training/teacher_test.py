"""What a teacher must be for its student, in one line before a device computes; and a student's first weights."""

import dataclasses
import runpy
from pathlib import Path

import jax
import numpy as np
import pytest

from bert_jax.config import Config, DistillationConfig, PhaseConfig
from bert_jax.errors import UserError
from bert_jax.model.distillation import distillation_model
from bert_jax.model.functional import flatten, nest
from bert_jax.text.load_tokenizer import load_tokenizer
from bert_jax.training.teacher import Teacher, check_same_teacher, keep_teacher, read_teacher, student_weights
from tests.layer_fields import FIELDS
from tests.random_params import random_params

transformers = pytest.importorskip("transformers")
POSITIONS = "encoder/embeddings/position/embedding"


@pytest.fixture(scope="module")
def bert(model_config, tmp_path_factory):
    """A torch BERT of six layers with random weights and no pair head, as transformers saves it, and a vocabulary."""
    directory = tmp_path_factory.mktemp("bert")
    names = ("vocab_size", "hidden_size", "num_attention_heads", "intermediate_size", "max_position_embeddings")
    settings = {name: getattr(model_config, name) for name in names}
    torch_config = transformers.BertConfig(**settings, num_hidden_layers=6)
    transformers.BertForMaskedLM(torch_config).save_pretrained(directory)
    write_vocabulary(directory, "letter")
    return directory


def write_vocabulary(directory, word):
    directory.mkdir(exist_ok=True)
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"{word}{number}" for number in range(96))]
    (directory / "vocab.txt").write_text("\n".join(tokens) + "\n")


@pytest.fixture(scope="module")
def records(bert):
    return load_tokenizer(bert, do_lower_case=True)


@pytest.fixture
def config(model_config, bert):
    """Of a student with three layers, without token types and pairs."""
    model = dataclasses.replace(model_config, num_hidden_layers=3, type_vocab_size=0, next_sentence=False)
    return Config(
        model=model,
        phases=(PhaseConfig(max_seq_length=16),),
        teacher=str(bert),
        distillation=DistillationConfig(init_layers="0,2,5"),
    )


def test_a_student_begins_as_its_teachers_layers(config, records):
    teacher = read_teacher(config, records)
    first, theirs = student_weights(teacher, config).params, teacher.arrays
    for mine, number in enumerate((0, 2, 5)):
        copied = [name for name in theirs if name.startswith(f"encoder/layer_{number}/")]
        assert len(copied) == 16
        for name in copied:
            np.testing.assert_array_equal(first[name.replace(f"layer_{number}", f"layer_{mine}")], theirs[name])
    for name in ("encoder/embeddings/word/embedding", "encoder/embeddings/norm/scale", "masked_lm/output_bias"):
        np.testing.assert_array_equal(first[name], theirs[name])
    types = theirs["encoder/embeddings/token_type/embedding"]
    np.testing.assert_array_equal(first[POSITIONS], theirs[POSITIONS] + types[:1])
    wanted = flatten(distillation_model(config.model).abstract_params)
    assert wanted.keys() - first.keys() == {name for name in wanted if name.startswith(("masked_lm/t", "masked_lm/n"))}
    assert first.keys() <= wanted.keys()
    config.distillation.init_transform = True
    assert student_weights(teacher, config).params.keys() == wanted.keys()


def test_a_whole_copy_is_its_teacher(config, records, make_batch):
    """Of texts of type 0, to the last bits of the positions' sum; layer by layer."""
    config.model.num_hidden_layers = 6
    config.distillation = DistillationConfig(init_layers="0,1,2,3,4,5", init_transform=True)
    teacher = read_teacher(config, records)
    batch = make_batch(2)
    inputs = (batch["input_ids"], batch["input_mask"], 0 * batch["segment_ids"], batch["masked_lm_positions"])
    both = (config.model, student_weights(teacher, config).params), (teacher.config, teacher.arrays)
    mine, theirs = (jax.jit(distillation_model(each).apply)(nest(arrays), *inputs) for each, arrays in both)
    for ours, other in zip(mine.layers, theirs.layers, strict=True):
        np.testing.assert_allclose(ours, other, rtol=0, atol=2e-6)
    np.testing.assert_allclose(mine.logits.masked_lm, theirs.logits.masked_lm, rtol=0, atol=2e-6)


def test_a_whole_copy_of_a_teacher_that_is_not_like_bert(config, make_batch):
    """It has token types and the student none: states of all layers and the words' probabilities are its own."""
    config.model = dataclasses.replace(config.model, num_hidden_layers=3, initializer_range=0.2, **FIELDS)
    config.distillation = DistillationConfig(init_layers="0,1,2", init_transform=True)
    its_config = dataclasses.replace(config.model, type_vocab_size=2)
    its = random_params(its_config)
    first = student_weights(Teacher("here", flatten(its), its_config), config).params
    wanted = flatten(distillation_model(config.model).abstract_params)
    assert {path: array.shape for path, array in first.items()} == {path: leaf.shape for path, leaf in wanted.items()}
    batch = make_batch(2)
    inputs = (batch["input_ids"], batch["input_mask"], 0 * batch["segment_ids"], batch["masked_lm_positions"])
    both = (config.model, nest(first)), (its_config, its)
    mine, theirs = (jax.jit(distillation_model(each).apply)(params, *inputs) for each, params in both)
    for ours, other in zip(mine.layers, theirs.layers, strict=True):
        np.testing.assert_allclose(ours, other, rtol=0, atol=2e-5)
    words = (jax.nn.softmax(each.logits.masked_lm) for each in (mine, theirs))
    np.testing.assert_allclose(*words, rtol=0, atol=1e-5)


@pytest.mark.parametrize("whole", [True, False], ids=["directory", "file"])
def test_a_student_that_is_not_like_bert_has_bert_for_a_teacher(config, bert, records, tmp_path, whole):
    """It is newly initialised then; a file, which does not say its settings, is not read by those of such a student."""
    if not whole:
        write_vocabulary(tmp_path, "letter")
        (tmp_path / "model.safetensors").write_bytes((bert / "model.safetensors").read_bytes())
        config.teacher = str(tmp_path / "model.safetensors")
    config.model, config.distillation = dataclasses.replace(config.model, **FIELDS), DistillationConfig()
    teacher = read_teacher(config, records)
    assert (teacher.config.unlike_bert, teacher.config.hidden_size) == ({}, 32)
    assert POSITIONS in teacher.arrays


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": {"hidden_size": 64}}, r"--config.model.hidden_size=64 cannot be used; give 32 as the teacher has"),
        ({"model": {"pre_norm": True}}, r"--config.model.pre_norm=True cannot be used; give False as the teacher has"),
        ({"model": {"use_bias": False}}, r"--config.model.use_bias=False cannot be used; give True as the teacher has"),
        ({"model": {"position_embedding": "rotary"}}, r"position_embedding=rotary .*; give learned as the teacher has"),
        ({"model": {"intermediate_size": 32}}, r"--config.model.intermediate_size=32 .*give 64 as the teacher has"),
        ({"model": {"vocab_size": 90}}, r"--config.teacher=.* has another vocabulary than the records; .*--vocab="),
        ({"distillation": {"init_layers": "0,2"}}, r"init_layers=0,2 cannot be used; give 3 of .* from 0 to 5"),
        ({"distillation": {"init_layers": "0,2,6"}}, r"init_layers=0,2,6 cannot be used; give 3 of .* from 0 to 5"),
        ({"distillation": {"cosine_layers": "all"}}, r"cosine_layers=all cannot be used; give 3 of .* from 0 to 5"),
        ({"phases": (PhaseConfig(max_seq_length=32),)}, r"reads at most 16 tokens and a phase has max_seq_length=32"),
        ({"teacher": "nowhere"}, r"--config.teacher: nowhere is neither a workdir .* correct the path"),
    ],
)
def test_what_does_not_fit_is_one_line(config, records, changes, said):
    for name, value in changes.items():
        whole = dataclasses.replace(getattr(config, name), **value) if isinstance(value, dict) else value
        setattr(config, name, whole)
    with pytest.raises(UserError, match=said) as error:
        read_teacher(config, records)
    assert "\n" not in str(error.value)


def test_a_narrow_student_has_no_cosine_and_is_newly_initialised(config, records):
    config.model.hidden_size = 16
    config.distillation = DistillationConfig(cosine_weight=0.0)
    assert read_teacher(config, records).config.hidden_size == 32


def test_other_words_are_another_vocabulary(config, tmp_path):
    write_vocabulary(tmp_path, "word")
    with pytest.raises(UserError, match="has another vocabulary than the records"):
        read_teacher(config, load_tokenizer(tmp_path, do_lower_case=True))


def test_an_encoder_alone_teaches_no_words(config, bert, records, tmp_path):
    transformers.BertModel.from_pretrained(bert).save_pretrained(tmp_path)
    write_vocabulary(tmp_path, "letter")
    config.teacher = str(tmp_path)
    with pytest.raises(UserError, match=r"has no masked_lm/.*; give a pretrained model with its masked-LM head"):
        read_teacher(config, records)


def test_rows_beyond_the_vocabulary_are_left_out(config, bert, records, tmp_path):
    padded = transformers.BertForMaskedLM.from_pretrained(bert)
    padded.resize_token_embeddings(104)
    padded.save_pretrained(tmp_path)
    write_vocabulary(tmp_path, "letter")
    digest = read_teacher(config, records).digest
    config.teacher = str(tmp_path)
    assert read_teacher(config, records).digest == digest


def test_it_is_known_again_wherever_it_lies(config, tmp_path):
    weights = {"a": np.arange(6.0).reshape(2, 3)}
    teacher = Teacher("here", weights, config.model)
    check_same_teacher(tmp_path, teacher)  # nothing has begun
    keep_teacher(tmp_path, teacher)
    (tmp_path / "config.json").touch()
    check_same_teacher(tmp_path, dataclasses.replace(teacher, path="there"))
    for other in (weights | {"a": weights["a"].T}, {"b": weights["a"]}, {"a": weights["a"] + 1}):
        with pytest.raises(UserError, match=r"the teacher here \(digest .* --config.teacher is here \(digest"):
            check_same_teacher(tmp_path, dataclasses.replace(teacher, arrays=other))
    with pytest.raises(UserError, match=r"--config.teacher is none; give the same to resume"):
        check_same_teacher(tmp_path, None)
    (tmp_path / "teacher.json").unlink()
    with pytest.raises(UserError, match="was started with no teacher and"):
        check_same_teacher(tmp_path, teacher)


def test_what_distilbert_py_says_for_other_sizes_is_taken():
    """Its docstring's settings, for a student that cannot begin as its teacher; one of them alone is refused."""
    make = runpy.run_path(str(Path(__file__).parents[2] / "configs" / "distilbert.py"))["get_config"]
    new = {"cosine_weight": 0.0, "init_layers": "", "freeze_positions": False}
    config = make()
    config.distillation = dataclasses.replace(config.distillation, **new)
    config.check()
    config.distillation.freeze_positions = True
    with pytest.raises(UserError, match=r"freeze_positions=True cannot be used; .* give false, or .*init_layers"):
        config.check()

"""Tables that were padded beyond the vocabulary, and vocabularies that were added to: training with such weights."""

import dataclasses
import json

import numpy as np
import pytest

from bert_jax.errors import UserError
from bert_jax.interchange.bert_names import TENSORFLOW
from bert_jax.interchange.renames import parameters
from bert_jax.interchange.tensor_bundle import write_bundle
from bert_jax.interchange.tensorflow import to_original_config
from bert_jax.model.functional import flatten
from bert_jax.text.load_tokenizer import load_tokenizer
from bert_jax.training.surplus_rows import vocab_tables
from bert_jax.training.warm_start import read_weights
from bert_jax.workdir.run_directory import read_config

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

RECORDS = load_tokenizer("ids:101")  # where the records' vocabulary is of no importance
SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TABLES = ("encoder/embeddings/word/embedding", "masked_lm/output_bias")


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
    model = transformers.BertForPreTraining(theirs)
    model.save_pretrained(directory)
    return model


def vocabulary(directory, size, word="word"):
    text = "\n".join([*SPECIAL_TOKENS, *(f"{word}{number}" for number in range(size - 5))])
    (directory / "vocab.txt").write_text(text + "\n")
    return load_tokenizer(directory / "vocab.txt")


def test_the_tables_are_those_that_the_model_declares(model_config):
    assert vocab_tables(model_config) == set(TABLES)


@pytest.mark.parametrize("rows", [104, 128, 500])
def test_rows_without_a_token_are_left_out_and_logged(model_config, tmp_path, caplog, rows):
    theirs = hugging_face(dataclasses.replace(model_config, vocab_size=rows), tmp_path)
    weights = read_weights(tmp_path, False, model_config, vocabulary(tmp_path, 101))
    state = theirs.state_dict()
    table = state["bert.embeddings.word_embeddings.weight"].numpy()
    np.testing.assert_array_equal(weights.params[TABLES[0]], table[:101])
    np.testing.assert_array_equal(weights.params[TABLES[1]], state["cls.predictions.bias"].numpy()[:101])
    assert f"has {rows} rows for 101 tokens: the last {rows - 101} are left out" in caplog.text


def test_without_a_vocabulary_beside_them_only_padding_is_taken_for_it(model_config, tmp_path):
    for rows, is_padding in [(104, True), (128, True), (224, True), (102, False), (232, False)]:
        hugging_face(dataclasses.replace(model_config, vocab_size=rows), tmp_path / str(rows))
        if is_padding:
            assert len(read_weights(tmp_path / str(rows), False, model_config, RECORDS).params[TABLES[0]]) == 101
        else:
            with pytest.raises(UserError, match=f"does not fit this run: vocab_size={rows} .here 101.; give records"):
                read_weights(tmp_path / str(rows), False, model_config, RECORDS)


def test_the_vocabulary_of_other_weights_is_not_padding(model_config, tmp_path):
    hugging_face(dataclasses.replace(model_config, vocab_size=104), tmp_path)
    (tmp_path / "records").mkdir()
    records = vocabulary(tmp_path / "records", 101, "other")
    vocabulary(tmp_path, 104)
    with pytest.raises(UserError, match=r"does not fit this run: vocab_size=104 \(here 101\), another vocabulary"):
        read_weights(tmp_path, False, model_config, records)
    vocabulary(tmp_path, 101)
    with pytest.raises(UserError, match="does not fit this run: another vocabulary"):
        read_weights(tmp_path, False, model_config, records)


def test_moments_of_surplus_rows_are_left_out_too(model_config, tmp_path):
    padded = dataclasses.replace(model_config, vocab_size=104)
    draw = np.random.default_rng(0)
    arrays = {"global_step": np.array(7, np.int64)}
    for param in parameters(TENSORFLOW, padded):
        for name in (param.name, f"{param.name}/adam_m", f"{param.name}/adam_v"):
            arrays[name] = draw.random(param.their_shape, np.float32)
    write_bundle(tmp_path / "model.ckpt-7", arrays)
    (tmp_path / "bert_config.json").write_text(json.dumps(to_original_config(padded)))
    first = read_weights(tmp_path / "model.ckpt-7", True, model_config, RECORDS)
    table = "bert/embeddings/word_embeddings"
    for ours, theirs in [
        (first.params, table),
        (flatten(first.moments.mu), f"{table}/adam_m"),
        (flatten(first.moments.nu), f"{table}/adam_v"),
    ]:
        np.testing.assert_array_equal(ours[TABLES[0]], arrays[theirs][:101])
        assert ours[TABLES[1]].shape == (101,)


@pytest.mark.slow
def test_a_bert_with_added_tokens_and_padded_tables_from_text_to_export(chain, tmp_path):
    """What users do: add_tokens, resize, save; then build_records, pretrain and export, each as a process."""
    directory, export = tmp_path / "theirs", tmp_path / "export"
    tokenizer = transformers.BertTokenizerFast(str(chain.vocab / "vocab.txt"), do_lower_case=True)
    assert tokenizer.add_tokens(["of the", "covid"]) == 2
    config = transformers.BertConfig(
        vocab_size=800,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    model = transformers.BertForPreTraining(config).eval()
    model.resize_token_embeddings(len(tokenizer), pad_to_multiple_of=64)
    assert (len(tokenizer), model.config.vocab_size) == (802, 832)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    for name in ("vocab.txt", "added_tokens.json", "special_tokens_map.json"):  # which release 5 does not write
        (directory / name).unlink()

    records = tmp_path / "records" / "32"
    flags = [
        "--max_seq_length=32",
        "--max_predictions_per_seq=6",
        "--dupe_factor=1",
        "--holdout=0.1",
        "--num_workers=1",
    ]
    chain.run("build_records", f"--input={chain.corpus}", f"--vocab={directory}", f"--output={records}", *flags)
    done = chain.pretrain(
        tmp_path / "run",
        f"--config.data.records={tmp_path}/records/{{max_seq_length}}",
        f"--config.init_from={directory}",
        "--config.optimizer.learning_rate=1e-30",
        "--config.phases[0].steps=1",
    )
    assert "has 832 rows for 802 tokens: the last 30 are left out" in done.stderr
    chain.run("export", f"--workdir={tmp_path / 'run'}", "--format=huggingface", f"--output={export}")

    exported = transformers.AutoTokenizer.from_pretrained(export)
    line = "A namespace is one of the mappings from names to objects; Covid is none."
    assert exported(line)["input_ids"] == tokenizer(line)["input_ids"]
    assert {800, 801} <= set(exported(line)["input_ids"])
    assert load_tokenizer(export).fingerprint == load_tokenizer(directory).fingerprint
    batch = tokenizer(line, return_tensors="pt")
    after = transformers.BertForPreTraining.from_pretrained(export).eval()
    assert after.config.vocab_size == len(exported) == 802
    with torch.no_grad():
        before, after = model(**batch), after(**batch)
    np.testing.assert_allclose(after.prediction_logits, before.prediction_logits[..., :802], rtol=0, atol=1e-5)
    np.testing.assert_allclose(after.seq_relationship_logits, before.seq_relationship_logits, rtol=0, atol=1e-5)
    # And a run resumes from that export.
    config = read_config(tmp_path / "run").model
    assert read_weights(export, False, config, load_tokenizer(records / "tokenizer")).params

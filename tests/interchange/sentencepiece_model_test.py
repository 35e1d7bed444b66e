import io

import sentencepiece

from bert_jax.interchange.sentencepiece_model import UNIGRAM, USER_DEFINED, read_model


def train(**settings):
    model = io.BytesIO()
    words = ["a rose is a rose", "the cat sat on the mat", "what is in a name", "to be or not to be"] * 20
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(words), model_writer=model, vocab_size=22, minloglevel=2, **settings
    )
    return model.getvalue()


def test_pieces_are_those_that_the_package_gives():
    content = train(user_defined_symbols=["<x>"])
    model, package = read_model(content), sentencepiece.SentencePieceProcessor(model_proto=content)
    assert [piece.piece for piece in model.pieces] == [package.id_to_piece(number) for number in range(22)]
    assert [piece.score for piece in model.pieces] == [package.get_score(number) for number in range(22)]
    assert [piece.piece for piece in model.pieces if piece.type == USER_DEFINED] == ["<x>"]


def test_settings():
    model = read_model(train(normalization_rule_name="nmt_nfkc"))
    assert model.trainer_spec.model_type == UNIGRAM
    assert not model.trainer_spec.byte_fallback
    assert model.normalizer_spec.add_dummy_prefix
    assert model.normalizer_spec.remove_extra_whitespaces
    assert len(model.normalizer_spec.precompiled_charsmap) > 1000
    other = read_model(
        train(
            model_type="bpe",
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            normalization_rule_name="identity",
        )
    )
    assert other.trainer_spec.model_type != UNIGRAM
    assert not other.normalizer_spec.add_dummy_prefix
    assert not other.normalizer_spec.remove_extra_whitespaces
    assert not other.normalizer_spec.precompiled_charsmap

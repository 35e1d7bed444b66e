"""Masks drawn when records are read: fairseq's own golden, the original BERT's draws, and what chance must give."""

import hashlib
import json
import math
import random
import types
from collections import Counter

import numpy as np
import pytest

from bert_jax.config import DataConfig
from bert_jax.data.batches import evaluation_batches, training_batches
from bert_jax.data.dynamic_masks import DynamicMasks
from bert_jax.data.mask_draws import RANDOM, MaskedRows, fate, number_of_masks, put_masks
from bert_jax.data.mersenne_twister import seeded, state_of
from bert_jax.data.options import RecordOptions
from bert_jax.data.packed_rows import packed_batches
from bert_jax.data.packing import choose_packing
from bert_jax.data.split_mix import keys as keys_of
from bert_jax.errors import UserError

VOCAB, MASK, LENGTH = 1000, 999, 64
ROBERTA = DataConfig(masking="roberta")


def tokenizer_of(vocab_size=VOCAB, mask=MASK, special=(1, 3, 0, 2)):
    names = ("pad_id", "unk_id", "cls_id", "sep_id")
    continues = [token % 3 == 0 and token > 3 for token in range(vocab_size)]
    ids = dict(zip(names, special, strict=True))
    return types.SimpleNamespace(**ids, mask_id=mask, vocab_size=vocab_size, continues_word=continues)


def test_masks_are_fairseqs_for_fairseqs_draws():
    """The digest of what its MaskTokensDataset makes of these items; here with its draws, in their order."""
    lengths = [5, 16, 128, 512, 512, 77, 3, 511]
    items = [
        [0] + [4 + (7919 * (number + 1) + 104729 * at) % 995 for at in range(length - 2)] + [2]
        for number, length in enumerate(lengths)
    ]
    weights = np.array([0] * 4 + [1] * (VOCAB - 4)) / (VOCAB - 4)
    masked, targets = [], []
    for number, item in enumerate(items):
        rng, length = np.random.default_rng(int(hash((1, 1, number)) % 1e6)), len(item)
        chosen = rng.choice(length, number_of_masks(length, 0.15, rng.random()), replace=False)
        first, second = rng.random(length), rng.random(length)
        fates = np.full(length, -1, np.int8)
        fates[chosen] = [fate(first[place], second[place], 0.1, 0.1) for place in chosen]
        others = rng.choice(VOCAB, np.count_nonzero(fates == RANDOM), p=weights).astype(np.int32)
        positions, labels, mask_weights = (np.zeros(length, dtype) for dtype in (np.int32, np.int32, np.float32))
        row = MaskedRows(np.array(item, np.int32), positions, labels, mask_weights)
        put_masks(row, fates, others, MASK)
        target = np.full(length, 1)
        target[row.positions[: len(chosen)]] = row.labels[: len(chosen)]
        masked.append(row.ids.tolist())
        targets.append(target.tolist())
        assert row.weights.sum() == len(chosen)
    assert hashlib.sha256(json.dumps([masked, targets]).encode()).hexdigest().startswith("94e472d86adf28a2")


@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**32 - 1, 2**32, 2**63 + 12345, 2**64 - 1])
def test_generators_are_seeded_as_pythons(seed):
    np.testing.assert_array_equal(seeded(np.uint64(seed)), state_of(random.Random(seed)))


def batch_of(rows, seed=0, length=LENGTH, predictions=9):
    """Random rows [CLS] A [SEP] B [SEP] of many lengths, with static masks; and the same without."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(5, length + 1, rows)
    lengths[:3] = length
    there = np.arange(length) < lengths[:, None]
    whole = np.where(there, rng.integers(4, MASK, (rows, length)), 0).astype(np.int32)
    whole[:, 0] = 0
    whole[np.arange(rows), lengths - 1] = whole[np.arange(rows), lengths // 2] = 2
    masked = whole.copy()
    positions, labels = (np.zeros((rows, predictions), np.int32) for _ in range(2))
    weights = np.zeros((rows, predictions), np.float32)
    for row in range(rows):
        number = int(rng.integers(0, min(predictions, lengths[row] - 2)))
        chosen = np.sort(rng.choice(np.arange(1, lengths[row] - 1), number, replace=False))
        positions[row, :number], labels[row, :number], weights[row, :number] = chosen, whole[row, chosen], 1.0
        masked[row, chosen] = MASK
    batch = {
        "input_ids": masked,
        "input_mask": there.astype(np.int32),
        "segment_ids": np.zeros_like(whole),
        "masked_lm_positions": positions,
        "masked_lm_ids": labels,
        "masked_lm_weights": weights,
        "next_sentence_labels": np.zeros((rows, 1), np.int32),
    }
    return batch, whole


def put_back(batch):
    """The ids without masks."""
    ids = batch["input_ids"].copy()
    for row, number in zip(*np.nonzero(batch["masked_lm_weights"]), strict=True):
        ids[row, batch["masked_lm_positions"][row, number]] = batch["masked_lm_ids"][row, number]
    return ids


COUNTS = np.random.default_rng(5).integers(0, 10_000, VOCAB)


def masks_by(rule, **how):
    return with_counts(DynamicMasks(DataConfig(masking=rule), tokenizer_of(), LENGTH, **how))


def with_counts(masks):
    if masks.needs_counts:
        masks.take_counts(COUNTS)
    return masks


def drawn(data, rows=4000, epoch=0, seed=3, **like):
    batch, whole = batch_of(rows)
    masks = with_counts(DynamicMasks(data, tokenizer_of(**like), LENGTH, seed))
    return masks(batch, np.arange(rows), np.full(rows, epoch)), whole


def chosen_of(batch):
    """Where predictions are, bool [rows, length]."""
    chosen = np.zeros(batch["input_ids"].shape, bool)
    rows, numbers = np.nonzero(batch["masked_lm_weights"])
    chosen[rows, batch["masked_lm_positions"][rows, numbers]] = True
    return chosen


def near(count, of, share, deviations=5):
    assert abs(count - of * share) < deviations * math.sqrt(of * share * (1 - share)) + 1, (count, of, share)


@pytest.mark.parametrize(
    ("data", "like"),
    [
        (ROBERTA, {}),
        (DataConfig(masking="roberta", masked_lm_prob=0.4, random_share=0.2, kept_share=0.0), {}),
        (DataConfig(masking="roberta", random_share=0.0, kept_share=0.0), {}),
        (DataConfig(masking="roberta", random_share=0.3, kept_share=0.1), {"special": (1, 3, 500, 998)}),
    ],
    ids=["80/10/10", "80/20/0 of 40 %", "100", "other special ids"],
)
def test_robertas_rule_in_numbers(data, like):
    batch, whole = drawn(data, **like)
    tokens, chosen = batch["input_mask"].sum(1), chosen_of(batch)
    np.testing.assert_array_equal(put_back(batch), whole)
    np.testing.assert_array_equal(batch["input_ids"][~chosen], whole[~chosen])
    assert not (chosen & (batch["input_mask"] == 0)).any()
    per_row = chosen.sum(1)
    low = np.floor(data.masked_lm_prob * tokens)
    assert ((per_row == low) | (per_row == low + 1)).all()  # none twice
    share = per_row.sum() / tokens.sum()
    assert share == pytest.approx(data.masked_lm_prob, abs=0.003)
    near(chosen[:, 0].sum(), len(chosen), data.masked_lm_prob)  # the first token, as likely as any
    near(chosen[np.arange(len(chosen)), tokens - 1].sum(), len(chosen), data.masked_lm_prob)
    seen, labels = batch["input_ids"][chosen], whole[chosen]
    others = seen[(seen != MASK) & (seen != labels)]
    near((seen == MASK).sum(), len(seen), 1 - data.random_share - data.kept_share)
    near(len(others), len(seen), data.random_share * (1 - 2 / VOCAB))
    near((seen == labels).sum(), len(seen), data.kept_share + data.random_share / VOCAB)
    if data.random_share:
        assert not set(others.tolist()) & set(like.get("special", (0, 1, 2, 3)))
        assert len(set(others.tolist())) > 0.6 * min(len(others), VOCAB)
        assert others.mean() == pytest.approx(VOCAB / 2, rel=0.1)
    for name in ("masked_lm_positions", "masked_lm_ids"):
        assert not batch[name][batch["masked_lm_weights"] == 0].any()
    assert all(
        (np.diff(positions[:number]) > 0).all()
        for positions, number in zip(batch["masked_lm_positions"], per_row, strict=True)
    )


@pytest.mark.parametrize("whole_words", [False, True])
def test_berts_rule_has_the_draws_of_the_original(plain, whole_words):
    data = DataConfig(masking="bert", whole_word_mask=whole_words)
    batch, whole = drawn(data, rows=300, epoch=5)
    tokenizer, keys = tokenizer_of(), keys_of(np.uint64(3), np.full(300, 5, np.uint64), np.arange(300, dtype=np.uint64))
    options = RecordOptions(LENGTH, LENGTH, whole_word_mask=whole_words)
    for row, key in enumerate(keys.tolist()):
        tokens = whole[row, : batch["input_mask"][row].sum()].tolist()
        seen, positions = plain.mask(tokens, options, tokenizer, random.Random(key))
        assert batch["input_ids"][row, : len(tokens)].tolist() == seen
        number = len(positions)
        assert batch["masked_lm_weights"][row].tolist() == [1.0] * number + [0.0] * (10 - number)
        assert batch["masked_lm_positions"][row, :number].tolist() == positions
        assert batch["masked_lm_ids"][row, :number].tolist() == [tokens[at] for at in positions]


@pytest.mark.parametrize(("random_share", "kept_share"), [(0.0, 0.0), (0.2, 0.0), (0.0, 0.2), (1.0, 0.0)])
def test_shares_of_berts_rule(random_share, kept_share):
    batch, whole = drawn(DataConfig(masking="bert", random_share=random_share, kept_share=kept_share), rows=2000)
    chosen = chosen_of(batch)
    seen, labels = batch["input_ids"][chosen], whole[chosen]
    near((seen == MASK).sum(), len(seen), min(1.0, 1 - random_share - kept_share + random_share / VOCAB))
    near((seen == labels).sum(), len(seen), kept_share + random_share / VOCAB)
    assert not np.isin(labels, [0, 2]).any()  # neither [CLS] nor [SEP]


def test_distilberts_rule_in_numbers():
    batch, whole = drawn(DataConfig(masking="distilbert", masked_lm_prob=0.2))
    tokens, chosen = batch["input_mask"].sum(1), chosen_of(batch)
    np.testing.assert_array_equal(put_back(batch), whole)
    np.testing.assert_array_equal(batch["input_ids"][~chosen], whole[~chosen])
    may_be = (batch["input_mask"] > 0) & ~np.isin(whole, [0, 1, 2, 3, MASK])
    assert not (chosen & ~may_be).any()
    np.testing.assert_array_equal(chosen.sum(1), np.minimum(np.ceil(0.2 * tokens), may_be.sum(1)))
    seen, labels = batch["input_ids"][chosen], whole[chosen]
    near((seen == MASK).sum(), len(seen), 0.8 + 0.1 / VOCAB)
    near((seen == labels).sum(), len(seen), 0.1 + 0.1 / VOCAB)
    others = seen[(seen != MASK) & (seen != labels)]
    assert np.isin([0, 1, 2, 3], others).any()  # special ones too
    assert others.mean() == pytest.approx(VOCAB / 2, rel=0.1)


def test_distilbert_draws_what_the_authors_multinomial_draws():
    """How often each place of one row is chosen, beside torch.multinomial without replacement, as they call it."""
    torch = pytest.importorskip("torch")
    rows, (batch, whole) = 20_000, batch_of(4)
    row = {name: np.repeat(values[:1], rows, 0) for name, values in batch.items()}
    often = chosen_of(masks_by("distilbert", seed=1)(row, np.zeros(rows, int), np.arange(rows))).mean(0)
    chances = np.maximum(COUNTS, 1.0) ** -0.7
    chances[[0, 1, 2, 3, MASK]] = 0.0
    number = math.ceil(0.15 * LENGTH)
    torch.manual_seed(0)
    theirs = torch.multinomial(torch.from_numpy(chances[whole[0]]).expand(rows, -1), number, replacement=False)
    expected = np.bincount(theirs.numpy().ravel(), minlength=LENGTH) / rows
    assert expected.max() > 3 * expected[expected > 0].min()  # or there would be nothing to see
    deviation = np.sqrt(2 * expected * (1 - expected) / rows)
    assert (np.abs(often - expected) < 5 * deviation + 2 / rows).all()


def test_keys_are_a_hash_that_runs_were_started_with():
    """If this fails, no run that was begun before resumes with the masks that it would have had."""
    seed, ids = np.uint64(7), np.array([0, 1, 2], np.uint64)
    assert keys_of(seed, ids, ids).tolist() == [
        11241344834629033336,
        11520615833535454824,
        13267515497689588758,
    ]
    epochs, records = (part.ravel() for part in np.meshgrid(np.arange(20), np.arange(10_000)))
    keys = [keys_of(np.uint64(seed), epochs.astype(np.uint64), records.astype(np.uint64)) for seed in (0, 1)]
    assert len(set(np.concatenate(keys).tolist())) == 400_000
    bits = np.unpackbits(keys[0].view(np.uint8)).reshape(-1, 64).mean(0)
    assert np.abs(bits - 0.5).max() < 5 * 0.5 / math.sqrt(200_000)


def test_epochs_and_seeds_have_other_masks():
    one, again, next_epoch, other_seed = (
        chosen_of(drawn(ROBERTA, rows=200, **how)[0]) for how in ({}, {}, {"epoch": 1}, {"seed": 4})
    )
    np.testing.assert_array_equal(one, again)
    for other in (next_epoch, other_seed):
        both = (one & other).sum()
        near(both, one.sum(), 0.15)


class Source:
    """Records of a batch by number; their segment_ids are their numbers."""

    def __init__(self, rows):
        self.batch, _ = batch_of(rows)
        self.batch["segment_ids"] = np.arange(rows)[:, None] * np.ones((1, LENGTH), np.int32)
        self.batch["segment_ids"] = self.batch["segment_ids"].astype(np.int32)

    def __len__(self):
        return len(self.batch["input_ids"])

    def fetch(self, records):
        return {name: values[list(records)] for name, values in self.batch.items()}

    def sizes(self):
        sizes = [self.batch["input_mask"].sum(1), self.batch["masked_lm_weights"].sum(1)]
        return np.stack(sizes, 1).astype(np.int32)


def sequences(batches):
    """Each sequence of the batches, of several rows or of packed ones: (record, ids, predictions)."""
    for batch in batches:
        for row in range(len(batch["input_ids"])):
            segments = batch["input_mask"][row]
            here = batch["masked_lm_weights"][row] > 0
            positions = batch["masked_lm_positions"][row][here]
            for number in range(1, segments.max() + 1):
                places = np.flatnonzero(segments == number)
                inside = np.isin(positions, places)
                yield (
                    int(batch["segment_ids"][row, places[0]]),
                    tuple(batch["input_ids"][row, places].tolist()),
                    tuple((positions[inside] - places[0]).tolist()),
                    tuple(batch["masked_lm_ids"][row][here][inside].tolist()),
                )


@pytest.mark.parametrize("rule", ["roberta", "bert", "distilbert"])
def test_masks_depend_on_seed_epoch_and_record_alone(rule):
    """Whatever the batch, the rows of this host, the step where a run resumes, and whether rows are packed."""
    source = Source(40)
    masks = masks_by(rule, seed=9)
    how = {"seed": 9, "transform": masks}
    whole = training_batches(source, global_batch_size=40, rows=range(40), first_step=0, last_step=3, **how)
    expected = by_record(sequences(whole))
    small = []
    for first, last in ((0, 4), (4, 15)):
        hosts = [
            training_batches(source, global_batch_size=8, rows=rows, first_step=first, last_step=last, **how)
            for rows in ([0, 1, 2], [3, 4, 5, 6, 7])
        ]
        small += [batch for step in zip(*hosts, strict=True) for batch in step]
    assert by_record(sequences(small)) == expected
    assert sum(len(set(found)) for found in expected.values()) > 110  # of 120; short records have few possible masks
    sizes = masks.sizes(source.sizes())
    packing = choose_packing(sizes, LENGTH, 8, seed=9)
    steps = packing.window_steps
    rows = range(packing.rows)
    packed = by_record(
        sequences(packed_batches(source, packing, rows=rows, first_step=0, last_step=steps, sizes=sizes, **how))
    )
    epochs = math.ceil(steps * 8 / 40)
    whole = training_batches(source, global_batch_size=40, rows=range(40), first_step=0, last_step=epochs, **how)
    assert sum(map(len, packed.values())) > 0.99 * 8 * steps
    for record, found in by_record(sequences(whole)).items():
        assert not Counter(packed[record]) - Counter(found)


def by_record(found):
    """What is found of each record, in its order."""
    records = {}
    for record, *rest in found:
        records.setdefault(record, []).append(tuple(rest))
    return records


def test_evaluations_have_the_same_masks_in_every_run():
    source = Source(11)
    batches = [
        list(
            evaluation_batches(
                source,
                global_batch_size=size,
                rows=range(size),
                transform=DynamicMasks(ROBERTA, tokenizer_of(), LENGTH),
            )
        )
        for size in (4, 11)
    ]
    small, whole = (list(sequences(found)) for found in batches)
    assert small == whole
    assert len(whole) == 11
    assert not batches[0][-1]["input_ids"][3:].any()  # what fills up the last batch stays empty


def test_a_record_without_tokens_has_no_masks():
    for rule in ("roberta", "bert", "distilbert"):
        batch, _ = batch_of(4)
        for values in batch.values():
            values[2] = 0
        found = masks_by(rule)(batch, np.arange(4), np.zeros(4, int))
        assert not any(values[2].any() for values in found.values())
        assert found["masked_lm_weights"].sum(1).astype(bool).tolist() == [True, True, False, True]


@pytest.mark.parametrize("share", [1.0, 0.999, 1e-9])
def test_shares_at_the_ends(share):
    batch, whole = drawn(DataConfig(masking="roberta", masked_lm_prob=share), rows=500)
    np.testing.assert_array_equal(put_back(batch), whole)
    if share == 1.0:
        np.testing.assert_array_equal(chosen_of(batch), batch["input_mask"] == 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"masking": "roberta", "random_share": 0.6, "kept_share": 0.5}, "random_share=0.6 .* with kept_share it must"),
        ({"masking": "roberta", "whole_word_mask": True}, "data.whole_word_mask=True .*give masking=bert too"),
        ({"kept_share": 0.2}, "data.kept_share=0.2 cannot be used; the records' masks have shares of their own"),
        ({"masked_lm_prob": 0.2}, "data.masked_lm_prob=0.2 .* give data.masking too, or leave this out"),
    ],
)
def test_settings_that_do_not_go_together(settings, message):
    with pytest.raises(UserError, match=message):
        DataConfig(**settings).check()

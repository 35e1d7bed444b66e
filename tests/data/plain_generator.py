"""The originals' generators restated in plain Python on lists of ids, by which the compiled one is judged."""

from typing import NamedTuple

import numpy as np


class Instance(NamedTuple):
    tokens: list
    segment_ids: list
    masked_lm_positions: list
    masked_lm_ids: list
    is_random_next: bool

    def record(self, max_seq_length, max_predictions_per_seq):
        padding = [0] * (max_seq_length - len(self.tokens))
        no_predictions = [0] * (max_predictions_per_seq - len(self.masked_lm_ids))
        return {
            "input_ids": self.tokens + padding,
            "input_mask": [1] * len(self.tokens) + padding,
            "segment_ids": self.segment_ids + padding,
            "masked_lm_positions": self.masked_lm_positions + no_predictions,
            "masked_lm_ids": self.masked_lm_ids + no_predictions,
            "masked_lm_weights": [1.0] * len(self.masked_lm_ids) + no_predictions,
            "next_sentence_labels": [int(self.is_random_next)],
        }


def random_documents(rng, number, num_sentences, num_tokens, vocab_size):
    """Documents of sentences of ids that are not special, as many as `num_sentences()` and `num_tokens()` give."""
    return [
        [[rng.randrange(5, vocab_size) for _ in range(num_tokens())] for _ in range(num_sentences())]
        for _ in range(number)
    ]


def make_instances(documents, options, tokenizer, rng, lengths_rng=None):
    """create_training_instances(); `lengths_rng` is what NumPy's global generator is there, of n-grams."""
    documents = list(documents)
    rng.shuffle(documents)
    instances = []
    for _ in range(options.dupe_factor):
        for number in range(len(documents)):
            instances.extend(instances_of_document(documents, number, options, tokenizer, rng, lengths_rng))
    rng.shuffle(instances)
    return instances


def instances_of_document(documents, number, options, tokenizer, rng, lengths_rng):
    document = documents[number]
    has_pairs = options.pairs != "none"
    max_tokens = target = options.max_seq_length - 2 - has_pairs
    if rng.random() < options.short_seq_prob:
        target = rng.randint(2, max_tokens)
    start = 0
    while start < len(document):
        chunk = []
        for sentence in document[start:]:
            chunk.append(sentence)
            if sum(map(len, chunk)) >= target:
                break
        first, second, label, used = joined(chunk), [], False, len(chunk)
        if has_pairs:
            first, second, label, used = pair_of(documents, number, chunk, target, options, rng)
        start += used
        truncate(first, second, max_tokens, rng)
        tokens = [tokenizer.cls_id, *first, tokenizer.sep_id]
        segment_ids = [0] * len(tokens)
        if has_pairs:
            tokens += [*second, tokenizer.sep_id]
            segment_ids += [1] * (len(second) + 1)
        if options.ngram:
            seen, positions = mask_ngrams(tokens, options, tokenizer, rng, lengths_rng)
        else:
            seen, positions = mask(tokens, options, tokenizer, rng)
        yield Instance(seen, segment_ids, positions, [tokens[position] for position in positions], label)


def pair_of(documents, number, chunk, target, options, rng):
    """A, B, the label, and how many of the chunk's sentences they use up."""
    first_sentences = rng.randint(1, len(chunk) - 1) if len(chunk) >= 2 else 1
    first = joined(chunk[:first_sentences])
    if len(chunk) == 1 or (options.pairs == "nsp" and rng.random() < 0.5):
        return first, random_segment(documents, number, target - len(first), rng), True, first_sentences
    second = joined(chunk[first_sentences:])
    if options.pairs == "sop" and rng.random() < 0.5:
        return second, first, True, len(chunk)
    return first, second, False, len(chunk)


def joined(sentences):
    return [token for sentence in sentences for token in sentence]


def random_segment(documents, number, target, rng):
    for _ in range(10):
        other = rng.randint(0, len(documents) - 1)
        if other != number:
            break
    tokens = []
    for sentence in documents[other][rng.randint(0, len(documents[other]) - 1) :]:
        tokens.extend(sentence)
        if len(tokens) >= target:
            break
    return tokens


def truncate(first, second, max_tokens, rng):
    while len(first) + len(second) > max_tokens:
        longer = first if len(first) > len(second) else second
        if rng.random() < 0.5:
            del longer[0]
        else:
            longer.pop()


def words_of(tokens, options, tokenizer):
    words = []
    continues = tokenizer.continues_ngram_word if options.ngram else tokenizer.continues_word
    for position, token in enumerate(tokens):
        if token in (tokenizer.cls_id, tokenizer.sep_id):
            continue
        if options.whole_word_mask and words and continues[token]:
            words[-1].append(position)
        else:
            words.append([position])
    return words


def mask(tokens, options, tokenizer, rng):
    words = words_of(tokens, options, tokenizer)
    rng.shuffle(words)
    limit = min(options.max_predictions_per_seq, max(1, round(len(tokens) * options.masked_lm_prob)))
    seen, positions = list(tokens), []
    for word in words:
        if len(positions) >= limit:
            break
        if len(positions) + len(word) > limit:
            continue
        for position in word:
            seen[position] = replacement(tokens[position], tokenizer, rng)
            positions.append(position)
    return seen, sorted(positions)


def mask_ngrams(tokens, options, tokenizer, rng, lengths_rng):
    if options.masked_lm_prob == 0:
        return list(tokens), []
    words = words_of(tokens, options, tokenizer)
    limit = min(options.max_predictions_per_seq, max(1, round(len(tokens) * options.masked_lm_prob)))
    lengths = np.arange(1, options.ngram + 1)
    shares = 1 / lengths / (1 / lengths).sum()
    runs = [[joined(words[first : first + length]) for length in lengths] for first in range(len(words))]
    rng.shuffle(runs)
    seen, positions = list(tokens), []
    for run in runs:
        if len(positions) >= limit:
            break
        longest = lengths_rng.choice(lengths, p=shares / shares.sum())
        fitting = [ngram for ngram in run[:longest] if len(positions) + len(ngram) <= limit]
        if not fitting or set(fitting[-1]) & set(positions):
            continue
        for position in fitting[-1]:
            seen[position] = replacement(tokens[position], tokenizer, rng)
            positions.append(position)
    rng.shuffle(runs)
    return seen, sorted(positions)


def replacement(token, tokenizer, rng):
    if rng.random() < 0.8:
        return tokenizer.mask_id
    if rng.random() < 0.5:
        return token
    return rng.randint(0, tokenizer.vocab_size - 1)

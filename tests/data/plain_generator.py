"""The original's generator restated in plain Python on lists of ids, by which the compiled one is judged."""

from typing import NamedTuple


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


def make_instances(documents, options, tokenizer, rng):
    """create_training_instances()."""
    documents = list(documents)
    rng.shuffle(documents)
    instances = []
    for _ in range(options.dupe_factor):
        for number in range(len(documents)):
            instances.extend(instances_of_document(documents, number, options, tokenizer, rng))
    rng.shuffle(instances)
    return instances


def instances_of_document(documents, number, options, tokenizer, rng):
    document = documents[number]
    max_tokens = target = options.max_seq_length - 3
    if rng.random() < options.short_seq_prob:
        target = rng.randint(2, max_tokens)
    start = 0
    while start < len(document):
        chunk = []
        for sentence in document[start:]:
            chunk.append(sentence)
            if sum(map(len, chunk)) >= target:
                break
        first_sentences = rng.randint(1, len(chunk) - 1) if len(chunk) >= 2 else 1
        first = joined(chunk[:first_sentences])
        is_random_next = len(chunk) == 1 or rng.random() < 0.5
        if is_random_next:
            second = random_segment(documents, number, target - len(first), rng)
            start += first_sentences
        else:
            second = joined(chunk[first_sentences:])
            start += len(chunk)
        truncate(first, second, max_tokens, rng)
        tokens = [tokenizer.cls_id, *first, tokenizer.sep_id, *second, tokenizer.sep_id]
        segment_ids = [0] * (len(first) + 2) + [1] * (len(second) + 1)
        yield Instance(*mask(tokens, segment_ids, options, tokenizer, rng), is_random_next)


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


def mask(tokens, segment_ids, options, tokenizer, rng):
    words = []
    for position, token in enumerate(tokens):
        if token in (tokenizer.cls_id, tokenizer.sep_id):
            continue
        if options.whole_word_mask and words and tokenizer.continues_word[token]:
            words[-1].append(position)
        else:
            words.append([position])
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
    positions.sort()
    return seen, segment_ids, positions, [tokens[position] for position in positions]


def replacement(token, tokenizer, rng):
    if rng.random() < 0.8:
        return tokenizer.mask_id
    if rng.random() < 0.5:
        return token
    return rng.randint(0, tokenizer.vocab_size - 1)

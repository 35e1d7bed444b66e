"""What build_records reports at its end: in the log, and as records_report.json beside the shards."""

import dataclasses
from collections.abc import Iterable
from typing import Any

from absl import logging
from etils import epath

from bert_jax.config.data import Pairs
from bert_jax.data.manifest import Manifest
from bert_jax.data.parts import Part
from bert_jax.data.statistics import FILL_BINS, Statistics
from bert_jax.storage.json_file import read_json, write_json
from bert_jax.text.findings import InputReport, as_json
from bert_jax.text.unknown_words import SUSPICIOUS_SHARE

REPORT = "records_report.json"

_BAR = 40  # characters of the longest bar
_LOGGED_TEMPLATES = 5
# Of the instances; the originals mean a half and none. What the warning advises is refused for aligned lines.
_MOST_RANDOM_NEXT = {"nsp": 0.6, "sop": 0.2}
_RANDOM_NEXT_MEANT = {"nsp": "half is", "sop": "none are"}

_MUCH_UNUSED = 0.2  # of the tokens; python-docs in sequences of 128 loses 12 to 14 %
_SHORTER_LINES = "shorter lines lose less, such as --split_sentences makes of paragraphs, and so do longer sequences"
_LOSES_LESS = {
    "nsp": _SHORTER_LINES,
    "sop": _SHORTER_LINES,
    "none": "--blocks=full cuts no line that fits into a sequence, and --cut_long_sentences keeps the longer ones too",
}


@dataclasses.dataclass
class _Report:
    """The part of records_report.json that is read again."""

    input: InputReport


def make_report(manifest: Manifest, parts: Iterable[Part], input_report: InputReport) -> dict[str, Any]:
    """Everything that was counted."""
    documents = dict.fromkeys(manifest.splits, 0)
    for part in parts:
        documents[part.split] += part.documents
    splits = {}
    for split, counts in manifest.statistics.items():
        statistics = Statistics(**counts)
        splits[split] = {
            **counts,
            **_shares(statistics, manifest.max_seq_length),
            "documents_without_a_token": documents[split] - statistics.documents,
        }
    return {
        "input": as_json(input_report),
        "max_seq_length": manifest.max_seq_length,
        "pairs": manifest.pairs,
        "cut_long_sentences": manifest.options.get("cut_long_sentences", False),
        "splits": splits,
    }


def write_report(output: epath.Path, report: dict[str, Any]) -> None:
    """Write records_report.json; equal records give equal bytes."""
    write_json(output / REPORT, report, sort_keys=True)


def read_input_report(output: epath.Path) -> InputReport | None:
    """The report on the text of finished records; None for records made before there were reports."""
    path = output / REPORT
    return read_json(path, _Report, "build the records again").input if path.exists() else None


def log_report(report: dict[str, Any]) -> None:
    """Log the report."""
    for split, counts in report["splits"].items():
        fields = {field.name for field in dataclasses.fields(Statistics)}
        statistics = Statistics(**{name: value for name, value in counts.items() if name in fields})
        logging.info("%s: %s", split, statistics.summary(report["max_seq_length"]))
        logging.info(
            "%s: documents of %s to %s tokens; %s without any token left out",
            split,
            f"{statistics.shortest_document:,}",
            f"{statistics.longest_document:,}",
            f"{counts['documents_without_a_token']:,}",
        )
        _warn(split, statistics, report["pairs"])
        _tell_of_long_sentences(split, statistics, report["cut_long_sentences"])
        _tell_of_unused_tokens(split, statistics, report["pairs"])
        logging.info("%s: how full the sequences are\n%s", split, _chart(statistics, report["max_seq_length"]))
    for why, found in report["input"]["dropped"].items():
        logging.info("left out: %s, %s", f"{found['count']:,}", why)
    _log_templates(report["input"].get("templates_left_out", {}))
    if suspicious := report["input"]["suspicious"]:
        logging.warning(
            "suspicious input: %s", "; ".join(f"{one['count']:,} {kind}" for kind, one in suspicious.items())
        )


def _warn(split: str, statistics: Statistics, pairs: Pairs) -> None:
    unknown = statistics.unknown_tokens / max(1, statistics.tokens)
    if unknown > SUSPICIOUS_SHARE:
        logging.warning("%s: %.1f%% of the tokens are [UNK]: the vocabulary is not of this text", split, 100 * unknown)
    random_next = statistics.random_next / max(1, statistics.instances)
    if random_next > _MOST_RANDOM_NEXT.get(pairs, 1.0):
        logging.warning(
            "%s: %.0f%% of the pairs are of two documents, where %s meant: most documents have one line, or most "
            "lines are as long as a sequence; --split_sentences cuts lines into sentences",
            *(split, 100 * random_next, _RANDOM_NEXT_MEANT[pairs]),
        )


def _tell_of_long_sentences(split: str, statistics: Statistics, are_cut: bool) -> None:
    if number := statistics.long_sentences:
        share = statistics.long_sentence_tokens / max(1, statistics.tokens)
        logging.warning(
            "%s: %s sentences, %.1f%% of the tokens, are longer than a block: %s",
            *(split, f"{number:,}", 100 * share, "cut" if are_cut else "left out (--cut_long_sentences keeps them)"),
        )


def _tell_of_unused_tokens(split: str, statistics: Statistics, pairs: Pairs) -> None:
    if statistics.unused_tokens and pairs in _LOSES_LESS:
        share = statistics.unused_tokens / statistics.copied_tokens
        logging.log(
            logging.WARNING if share > _MUCH_UNUSED else logging.INFO,
            "%s: %.1f%% of the text's tokens are in no sequence: lines are put together until they fill one, and what "
            "is too much is cut off; %s",
            *(split, 100 * share, _LOSES_LESS[pairs]),
        )


def _log_templates(counts: dict[str, int]) -> None:
    if counts:
        most = ", ".join(f"{name} ({count:,})" for name, count in list(counts.items())[:_LOGGED_TEMPLATES])
        logging.info("left out: templates, most often %s; %s counts the first %d", most, REPORT, len(counts))


def _shares(statistics: Statistics, max_seq_length: int) -> dict[str, float]:
    def share(count: int, of: int) -> float:
        return round(count / max(1, of), 6)

    return {
        "unused_share": share(statistics.unused_tokens, statistics.copied_tokens),
        "unknown_share": share(statistics.unknown_tokens, statistics.tokens),
        "filled_share": share(statistics.filled, statistics.instances * max_seq_length),
        "random_next_share": share(statistics.random_next, statistics.instances),
        "exchanged_share": share(statistics.exchanged, statistics.instances),
        "masked_share": share(statistics.masked, statistics.predictions),
        "kept_share": share(statistics.kept, statistics.predictions),
        "replaced_share": share(statistics.replaced, statistics.predictions),
    }


def _chart(statistics: Statistics, max_seq_length: int) -> str:
    """A bar for each bin: the tokens of its sequences, and how many they are."""
    lines = []
    most = max(1, *statistics.fill)
    for number, count in enumerate(statistics.fill):
        least, up_to = (max_seq_length * edge // FILL_BINS for edge in (number, number + 1))
        if up_to > least:  # short sequences have fewer lengths than there are bins
            bar = "#" * -(-_BAR * count // most)
            share = count / max(1, statistics.instances)
            lines.append(f"  {f'{least + 1}-{up_to}':>11} tokens {share:6.1%} {bar}".rstrip())
    return "\n".join(lines)

"""What build_records tells at its end: in the log, and as records_report.json beside the shards."""

import dataclasses
import json
from collections.abc import Iterable
from typing import Any

from absl import logging
from etils import epath

from bert_jax.data.manifest import Manifest
from bert_jax.data.parts import Part
from bert_jax.data.statistics import FILL_BINS, Statistics
from bert_jax.storage.whole_file import whole_file
from bert_jax.text import suspicions

REPORT = "records_report.json"

_BAR = 40  # characters of the longest bar


def make_report(manifest: Manifest, parts: Iterable[Part], input_report: dict[str, Any]) -> dict[str, Any]:
    """Everything that was counted; `input_report` is that of text/suspicions.py."""
    dealt = dict.fromkeys(manifest.splits, 0)
    for part in parts:
        dealt[part.split] += part.documents
    splits = {}
    for split, counts in manifest.statistics.items():
        statistics = Statistics(**counts)
        splits[split] = {
            **counts,
            **_shares(statistics, manifest.max_seq_length),
            "documents_without_a_token": dealt[split] - statistics.documents,
        }
    return {"input": input_report, "max_seq_length": manifest.max_seq_length, "splits": splits}


def write_report(output: epath.Path, report: dict[str, Any]) -> None:
    """Write records_report.json; equal records give equal bytes."""
    with whole_file(output / REPORT) as file:
        file.write((json.dumps(report, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode())


def read_report(output: epath.Path) -> dict[str, Any]:
    """The report beside finished records; empty for records made before there were reports."""
    path = output / REPORT
    return json.loads(path.read_text()) if path.exists() else {}


def tell(report: dict[str, Any]) -> None:
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
        logging.info("%s: how full the sequences are\n%s", split, _chart(statistics, report["max_seq_length"]))
    for why, found in report["input"]["dropped"].items():
        logging.info("left out: %s, %s", f"{found['count']:,}", why)
    suspicions.tell(report["input"])


def _shares(statistics: Statistics, max_seq_length: int) -> dict[str, float]:
    def share(count: int, of: int) -> float:
        return round(count / max(1, of), 6)

    return {
        "unknown_share": share(statistics.unknown_tokens, statistics.tokens),
        "filled_share": share(statistics.filled, statistics.instances * max_seq_length),
        "random_next_share": share(statistics.random_next, statistics.instances),
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

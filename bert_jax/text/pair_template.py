"""How two texts become one sequence, by a tokenizer's own files: what every tokenizer says of pairs."""

import json
import re
from typing import Any, NamedTuple


class PairTemplate(NamedTuple):
    """How two texts become one sequence; the default is BERT's."""

    separators_between: int = 1
    second_segment: int = 1  # the token type of the second text


def pair_template(post_processor: Any, sep: str) -> PairTemplate:
    """What a tokenizer.json says of pairs, or the default; all tokens are of type 0 there, or the second text's of 1.

    `post_processor` is what it has under that name, `sep` the separator's token.
    """
    if not isinstance(post_processor, dict):
        return PairTemplate()
    if post_processor.get("type") == "Sequence":
        each = (pair_template(one, sep) for one in post_processor.get("processors", []))
        return next((template for template in each if template != PairTemplate()), PairTemplate())
    if post_processor.get("type") == "RobertaProcessing":
        return PairTemplate(2, 0)
    pair = json.dumps(post_processor.get("pair", [])).split('"Sequence"')
    if len(pair) != 3:
        return PairTemplate()
    types = re.findall(r'"type_id": (\d+)', pair[2])
    return PairTemplate(max(1, pair[1].count(f'"id": {json.dumps(sep)}')), min(1, int(types[0])) if types else 1)

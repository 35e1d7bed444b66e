"""Shares as people write them."""


def percent(share: float) -> str:
    """0.831 as "83.1%"; "–" for what is no number."""
    return f"{100 * share:.1f}%" if share == share else "–"


def percent_of_one(probability: float) -> str:
    """0.831 as "83%", of one answer or word; a small one is not 0."""
    return "<1%" if 0 < probability < 0.005 else f"{100 * probability:.0f}%"

"""Numbers as people read them."""


def number(value: float) -> str:
    """Of requests or time steps, a second or in all."""
    return f"{value:,.0f}" if value >= 100 or value == round(value) else f"{value:.1f}"


def milliseconds(seconds: float | None) -> str:
    """A latency in ms, without the unit; a dash where there is none."""
    if seconds is None:
        return "-"
    value = seconds * 1000
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def plural(count: int, word: str, ending: str = "s") -> str:
    """`1 session`, `2 sessions`."""
    return f"{count:,} {word}{'' if count == 1 else ending}"

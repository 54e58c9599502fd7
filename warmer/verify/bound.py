"""How consistent a cache is known to be, from how many samples diverged."""

from __future__ import annotations

import math

CONFIDENCE = 0.95
_PRECISION = 1e-12


def most_diverging(divergences: int, samples: int, confidence: float = CONFIDENCE) -> float:
    """The upper end of the one-sided Clopper-Pearson interval for the share of entries that diverge.

    Clopper and Pearson, Biometrika 26 (1934): the largest share at which `divergences` or fewer in `samples`
    would still be seen with a probability of `1 - confidence`. With none diverging that is
    1 - (1 - confidence)**(1/samples), about 3/samples at 95 %. 1.0 without samples.
    """
    if not 0 <= divergences <= samples:
        raise ValueError(f"{divergences} of {samples} can't diverge")
    if divergences == samples:
        return 1.0
    low, high = divergences / samples, 1.0
    while high - low > _PRECISION * high:
        middle = (low + high) / 2
        if _at_most(divergences, samples, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def in_words(share: float) -> str:
    """`no more than 3.0 in 10,000 entries`, rounded up, so that it never says more than the samples carry."""
    if share >= 1:
        return "an unknown share of entries: too few samples agree"
    exponent = max(1, math.ceil(-math.log10(share)))
    tenths = math.ceil(share * 10 ** (exponent + 1) - 1e-9)
    if tenths >= 100 and exponent > 1:
        exponent, tenths = exponent - 1, math.ceil(tenths / 10)
    return f"no more than {tenths / 10:.1f} in {10**exponent:,} entries"


def _at_most(k: int, n: int, p: float) -> float:
    """The probability of k or fewer in n tries."""
    if p >= 1:
        return 0.0
    logs = [
        math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1)
        + (i * math.log(p) if i else 0.0) + (n - i) * math.log1p(-p)
        for i in range(k + 1)
    ]  # fmt: skip
    return math.fsum(map(math.exp, logs))

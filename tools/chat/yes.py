"""Yes or no by the first token of an answer: judges and guards read it in the same way."""

from collections.abc import Mapping

READABLE = 0.5
"""Least P(yes) + P(no) at which the first token is an answer at all."""


def p_yes(first_token: Mapping[str, float]) -> float | None:
    """P(yes) / (P(yes) + P(no)), from the probabilities of the first token; None where it is no answer.

    A token counts where it is the word alone, whatever its case and the white space beside it: what reads more could
    take something else for a *no* of a guard.
    """
    shares = {"yes": 0.0, "no": 0.0}
    for token, share in first_token.items():
        word = token.strip().lower()
        if word in shares:
            shares[word] += share
    total = sum(shares.values())
    return min(1.0, shares["yes"] / total) if total >= READABLE else None


__all__ = ["READABLE", "p_yes"]

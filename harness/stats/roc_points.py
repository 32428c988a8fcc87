"""One point of the ROC curve: the sensitivity at a given specificity, and the reverse, alone and paired.

The threshold is the best that the very images allow, so this speaks of a curve and not of answers: a threshold that is
to be used must be fixed on other images.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.model import Estimate, FloatArray, IntArray
from harness.stats.discrimination import BoolArray
from harness.stats.resampling import group_size, weights_interval


def sensitivity_at(
    models: Sequence[FloatArray],
    positive: BoolArray,
    specificity: float,
    confidence: float = 0.95,
    groups: IntArray | None = None,
) -> Estimate | None:
    """Return the largest sensitivity at which a specificity is reached, or the second model's minus the first's.

    It is a step of the curve that is there, without interpolation: of all scores as thresholds, the one with the most
    positives among those above which no more of the negatives lie than allowed. The interval draws threshold and
    sensitivity anew together, by weights of the Bayesian bootstrap (the bootstrap of both kinds: Platt, Hanley and Yang
    2000, "Bootstrap confidence intervals for the sensitivity of a quantitative diagnostic test", Statistics in Medicine
    19, 313-322), and at each end with one more image of each kind, as `units_interval` does it: of two models the lower
    end knows a positive that the first finds before all others and the second after them, and a negative the reverse.

    Args:
        models: (N,) scores of one model, or of two on the same images; the higher, the more positive.
        positive: (N,) the truth.
        specificity: the share of the negatives that must not lie above the threshold.
        confidence: of the interval.
        groups: (N,) the patient of each image, whose images are then drawn together; None where each is its own.

    Returns:
        The estimate, or None unless both kinds occur.
    """
    if not positive.any() or positive.all():
        return None
    allowed = 1 - specificity
    sizes = [1.0, 1.0] if groups is None else [group_size(groups[kind]) for kind in (positive, ~positive)]
    truth = np.append(positive, [True, False])
    signs = (-1.0,) if len(models) == 1 else (1.0, -1.0)
    ends = list(zip(models, signs, strict=True))
    worst, best = (
        [np.append(own, [side * sign * np.inf, -side * sign * np.inf]) for own, sign in ends] for side in (1, -1)
    )
    return weights_interval(
        float(_difference(models, positive, np.ones((1, len(positive))), allowed)[0]),
        worst=lambda weights: _difference(worst, truth, weights, allowed),
        best=lambda weights: _difference(best, truth, weights, allowed),
        sizes=sizes,
        images=len(positive),
        groups=groups,
        confidence=confidence,
    )


def _difference(models: Sequence[FloatArray], positive: BoolArray, weights: FloatArray, allowed: float) -> FloatArray:
    found = [_rate(scores, positive, weights, allowed) for scores in models]
    return found[0] if len(found) == 1 else np.asarray(found[1] - found[0])


def _rate(scores: FloatArray, positive: BoolArray, weights: FloatArray, allowed: float) -> FloatArray:
    """Return (B,) sensitivities of images that count as often as (B, N) weights say."""
    order = np.argsort(-scores, kind="stable")
    ranked, truth, sorted_weights = scores[order], positive[order], weights[:, order]
    # Images of one score lie above a threshold together.
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    hits, alarms = (np.cumsum(sorted_weights * kind, axis=1)[:, last] for kind in (truth, ~truth))
    # A share is reached by whole images; the sum may be a hair above a whole number.
    within = (alarms <= (allowed + 1e-9) * alarms[:, -1:]).sum(axis=1)
    found = np.concatenate([np.zeros((len(hits), 1)), hits], axis=1)[np.arange(len(hits)), within]
    return np.asarray(found / hits[:, -1])

"""What is said about a list of measurements. Pure."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Median, 95th percentile (interpolated) and extremes, in the unit of the samples."""

    count: int
    median: float
    p95: float
    least: float
    most: float


def summarize(samples: Sequence[float]) -> Summary:
    """Summarize at least one sample. Raises statistics.StatisticsError if there is none."""
    return Summary(
        count=len(samples),
        median=statistics.median(samples),
        p95=percentile(samples, 95),
        least=min(samples),
        most=max(samples),
    )


def percentile(samples: Sequence[float], percent: int) -> float:
    """Return the percentile (1 to 99), interpolated between the two samples beside it."""
    if len(samples) == 1:
        return samples[0]
    return statistics.quantiles(samples, n=100, method="inclusive")[percent - 1]


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return by how much y grows for each x, by least squares over at least two points."""
    return statistics.linear_regression(*zip(*points, strict=True)).slope

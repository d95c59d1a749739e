"""How good generated rows of a table are: as vectors, column by column, and in how the columns go together."""

from __future__ import annotations

from collections.abc import Iterable

from gantrain.evaluation import signals
from gantrain.evaluation.metric import Measured, Metric, asked_for
from gantrain.evaluation.signals import Drawn, SignalQuality
from gantrain.metrics import correlation_errors, marginal_distances
from gantrain.run.directions import LOWEST


class TableQuality(SignalQuality):
    """Measures rows (d,) against those of a table; arguments and errors as for signals, but all rows are kept."""

    def asked_for(self, metrics: Iterable[str | Metric]) -> list[Metric]:
        """Return the metrics that settings name."""
        return asked_for(metrics, METRICS, "tables", use="table")

    def to_keep(self) -> int:
        """Return how many rows are kept."""
        return max(self.protocol.n_real, self.protocol.n_fake)


def marginals(quality: TableQuality, fakes: Drawn) -> dict[str, float]:
    """Return mean and largest Wasserstein-1 distance of a column, in standard deviations of the real one."""
    distances = marginal_distances(fakes.vectors, quality.real.vectors)
    return {"marginal_w1": float(distances.mean()), "marginal_w1_worst": float(distances.max())}


def correlations(quality: TableQuality, fakes: Drawn) -> dict[str, float]:
    """Return mean and largest error of the correlation of two columns; nothing of a single column."""
    errors = correlation_errors(fakes.vectors, quality.real.vectors)
    if not len(errors):
        return {}
    return {"correlation_error": float(errors.mean()), "correlation_error_worst": float(errors.max())}


METRICS: dict[str, Measured] = {
    **{name: one for name, one in signals.METRICS.items() if name not in signals.NEED_MODES},
    "marginals": Measured(marginals, {"marginal_w1": LOWEST, "marginal_w1_worst": LOWEST}),
    "correlations": Measured(correlations, {"correlation_error": LOWEST, "correlation_error_worst": LOWEST}),
}

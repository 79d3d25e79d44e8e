"""What recording costs: a step with ``record="norms"`` and ``"full"`` against the same step with ``record=None``."""

import numpy as np
from common import Table, arguments, trainer

from gradiometer.bench.timing import alternate
from gradiometer.bench.workloads import WORKLOADS


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__)
    table = Table("workload", "no recording", '"norms"', '"full"')
    for name in ("deep-narrow", "classic", "classic-plain"):
        workload = WORKLOADS[name]
        x, y = workload.data()
        trainers = {record: trainer(workload, record=record) for record in (None, "norms", "full")}

        def steps(record: str | None, count: int) -> None:
            for _ in range(count):
                trainers[record].step(x, y)  # noqa: B023

        candidates = {str(record): lambda count, record=record: steps(record, count) for record in trainers}
        times = alternate(candidates, rounds=options.rounds, seconds=options.seconds)
        bare = times["None"]
        table.add(
            name,
            f"{np.median(bare) * 1e6:.0f} µs",
            *(table.percent(times[record] / bare - 1) for record in ("norms", "full")),
        )
    table.show()


if __name__ == "__main__":
    main()

"""What reporting costs with 256 cameras: one scrape, as a JSON line (DESIGN 11: at most 50 ms).

python -m tests.bench.report
"""

import sys
import time

from edged.report.metrics import Metrics
from tests.bench.figures import figure
from tests.unit.test_report_metrics import busy

CAMERAS = 256
ROUNDS = 20


def main() -> int:
    snapshot = busy(CAMERAS)
    metrics = Metrics(lambda: snapshot)
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        metrics.render()
        took.append(time.perf_counter() - began)
    figure(f"report.metrics.{CAMERAS}.render", sorted(took)[ROUNDS // 2] * 1000, "ms", 50.0)
    return 0


if __name__ == "__main__":
    sys.exit(main())

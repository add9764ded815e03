"""CPU that it takes to render a reply, whole and as it grows: `python -m benchmarks.rendering [--against FOLDER]`.

With the folder of another checkout, both are measured by turns, each in a process of its own, and the medians compared.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from bot.markdown import Document

REPLY = """Here is what you asked for, with **the important part** first and *some detail* after it.

## How it works

1. Open the file `config.py` and look for `MAX_SIZE`.
2. Set it to **2000**, as in the [documentation](https://example.com/docs/config).
3. Restart the service: it reads the file only once.

```python
def area(width: float, height: float) -> float:
    return width * height
```

| Name | Value |
|------|------:|
| width | 2.5 |
| height | 4 |

- The first point is about speed, which is *not* a problem here.
- The second one is about `snake_case` names and 2 * 3 = 6.

> It costs $5 a month, or $50 a year.

So the area is $w \\cdot h$, and that is all there is to it. Let me know if you want to see more of it!

"""
SIZES = (2_000, 20_000, 100_000)
STEP = 20


def seconds(size: int, *, growing: bool) -> float:
    """CPU seconds for each 1,000 characters of a reply of that size."""
    text = (REPLY * (size // len(REPLY) + 1))[:size]
    document = Document()
    began = time.process_time()
    if growing:
        for end in range(STEP, size, STEP):
            document.update(text[:end])
    document.update(text, final=True)
    return (time.process_time() - began) * 1000 / size


def measured() -> dict[str, float]:
    """Each of the figures once, the smaller sizes as the best of a few."""
    figures = {}
    for size in SIZES:
        for growing in (False, True):
            times = max(1, SIZES[-1] // size // (10 if growing else 1))
            best = min(seconds(size, growing=growing) for _ in range(times))
            figures[f"{size:,} characters, {'growing' if growing else 'whole'}"] = best * 1000
    return figures


def _run(folder: Path) -> dict[str, float]:
    """Measure what is in that folder, in a process of its own."""
    command = [sys.executable, __file__, "--once"]
    done = subprocess.run(  # noqa: S603
        command, capture_output=True, check=True, text=True, env={**os.environ, "PYTHONPATH": str(folder)}
    )
    return dict(json.loads(done.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path, help="the folder of another checkout")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--once", action="store_true", help="measure once, here, and print JSON")
    arguments = parser.parse_args()
    if arguments.once:
        print(json.dumps(measured()))
        return
    folders = [Path(__file__).parent.parent, *([arguments.against] if arguments.against else [])]
    runs: dict[Path, list[dict[str, float]]] = {folder: [] for folder in folders}
    for _ in range(arguments.runs):
        for folder in folders:
            runs[folder].append(_run(folder.resolve()))
    print("ms of CPU for each 1,000 characters, median of", arguments.runs)
    for name in runs[folders[0]][0]:
        here, *there = (statistics.median(run[name] for run in runs[folder]) for folder in folders)
        compared = "".join(f", {other:.3f} there ({here / other - 1:+.0%})" for other in there)
        print(f"{name:32} {here:.3f}{compared}")


if __name__ == "__main__":
    main()

"""Stands in for the Python of a host's environment: what the next training does is the next line of $FAKE/plan.

Lines are `finish STEP`, `save STEP` (asked to stop), `preempt STEP`, `crash STEP`, `refuse` and `wait` (until killed).
"""

import json
import os
import sys
import time
from pathlib import Path

FAKE, HOST = Path(os.environ["FAKE"]), os.environ["HOST"]
STEPS = 100


def main():
    starts = FAKE / f"starts-{HOST}"
    number = len(starts.read_text().splitlines()) if starts.exists() else 0
    with starts.open("a") as log:
        log.write(json.dumps([os.environ["JAX_COMPILATION_CACHE_DIR"], *sys.argv[1:]]) + "\n")
    outcome, *step = (FAKE / "plan").read_text().splitlines()[number].split()
    workdir = next(word.split("=", 1)[1] for word in sys.argv if word.startswith("--workdir="))
    run = FAKE / "bucket" / workdir.removeprefix("gs://")
    if HOST == "0" and step:
        (run / "checkpoints" / step[0]).mkdir(parents=True, exist_ok=True)
        (run / "config.json").write_text(json.dumps({"seed": 3, "steps": STEPS, "system": "waveglow"}, indent=2))
    print(f"host {HOST}: {outcome}", flush=True)
    if outcome == "refuse":
        sys.exit(2)
    if outcome == "preempt" and HOST == "0":
        (FAKE / "state").write_text("SUSPENDED")
    if outcome == "crash" and HOST == "0":
        sys.exit(1)
    while outcome in ("preempt", "crash", "wait") and (FAKE / "state").read_text() == "ACTIVE":
        time.sleep(0.05)  # the other host waits for the one that failed


if __name__ == "__main__":
    main()

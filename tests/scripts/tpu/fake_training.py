"""Stands in for the Python of a host's environment: what the next training does is the next line of $FAKE/plan.

Lines are `finish STEP`, `save STEP` (asked to stop), `preempt STEP`, `crash STEP`, `refuse` and `wait` (until killed).
`crash STEP HOST` ends that host instead of the first, and `oom STEP HOST` as the kernel does where memory is full.
"""

import json
import os
import signal
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
    (FAKE / f"revision-{HOST}").write_text(os.environ.get("EVC_REVISION", ""))
    outcome, *words = (FAKE / "plan").read_text().splitlines()[number].split()
    workdir = next(word.split("=", 1)[1] for word in sys.argv if word.startswith("--workdir="))
    run = FAKE / "bucket" / workdir.removeprefix("gs://")
    step, failing = [*words, "0"][:2] if words else (None, "0")
    if HOST == "0" and step:
        (run / "checkpoints" / step).mkdir(parents=True, exist_ok=True)
        (run / "config.json").write_text(json.dumps({"seed": 3, "steps": STEPS, "system": "waveglow"}, indent=2))
    print(f"host {HOST}: {outcome}", flush=True)
    if outcome == "refuse":
        sys.exit(2)
    if outcome == "preempt" and HOST == "0":
        (FAKE / "state").write_text("SUSPENDED")
    if outcome == "crash" and failing == HOST:
        sys.exit(1)
    if outcome == "oom" and failing == HOST:
        os.kill(os.getpid(), signal.SIGKILL)
    while outcome in ("preempt", "crash", "oom", "wait") and (FAKE / "state").read_text() == "ACTIVE":
        time.sleep(0.05)  # the other host waits for the one that failed


if __name__ == "__main__":
    main()

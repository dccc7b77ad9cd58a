"""Tests that kills change nothing in a training: runs it once without and once with kills, and compares every number.

    python scripts/chaos_train.py --kills=10 --out=chaos -- --config=configs/voicegan.py:tiny --config.steps=400

What follows `--` are arguments of `evc train` but `--workdir`. The training is started, killed at a random moment
(every second time while a checkpoint is being written) and started again, --kills times in all, and then left to
finish. Every metric of every step and the fingerprint of the last checkpoint must be the same, bit for bit, as without
kills. OUT gets both work directories, the output of every start and report.md. Exit code 0: the same; 1: not; 2: the
training itself failed.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from evc_jax.pretrained.workdir import logged_metrics
from evc_jax.training.metrics_writer import TIMINGS

TRAIN = Path(__file__).with_name("train.py")
# Every step is logged, so that every step is compared.
ALWAYS = ("--config.log_every=1",)
POLL_S = 0.002
GRACE_S = 30.0  # what a machine that is taken away leaves


def main() -> int:
    arguments = _parse()
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    calm, killed = out / "calm", out / "killed"
    for workdir in (calm, killed):
        if workdir.exists():
            print(f"chaos_train: {workdir} exists; give another --out or remove it.", file=sys.stderr)
            return 2
    print("once without kills ...", flush=True)
    if code := _start(calm, arguments.train, out / "calm.log").wait():
        return _failed(code, out / "calm.log")
    draw, rows = random.Random(arguments.seed), []
    for number in range(arguments.kills):
        log = out / f"killed-{number}.log"
        process = _start(killed, arguments.train, log)
        kind = arguments.signals[number % len(arguments.signals)]
        row = _kill(process, killed, kind, number % 2 == 1, draw)
        rows.append({"kill": number + 1, "signal": kind, **row})
        print(rows[-1], flush=True)
        expected = 0 if kind == "TERM" else -signal.SIGKILL
        if row["exit code"] not in (0, expected):
            return _failed(row["exit code"], log)
        if row["moment"] == "finished before":
            break
    if code := _start(killed, arguments.train, out / "killed-last.log").wait():
        return _failed(code, out / "killed-last.log")
    return _report(calm, killed, rows, out / "report.md")


def _start(workdir: Path, train: list[str], log: Path) -> subprocess.Popen:
    command = [sys.executable, str(TRAIN), f"--workdir={workdir}", *train, *ALWAYS]
    return subprocess.Popen(command, stdout=log.open("w"), stderr=subprocess.STDOUT)


def _kill(process: subprocess.Popen, workdir: Path, kind: str, in_save: bool, draw: random.Random) -> dict:
    """Waits for a step of this process, then for the moment, and kills it."""
    before = _steps(workdir)
    while process.poll() is None and _steps(workdir) in (before, []):
        time.sleep(POLL_S)
    resumed = _steps(workdir)
    if in_save:
        while process.poll() is None and not _saving(workdir):
            time.sleep(POLL_S)
        time.sleep(draw.uniform(0, 0.03))
    else:
        time.sleep(draw.uniform(0, 1.0))
    moment = "while saving" if _saving(workdir) else "between saves"
    if process.poll() is not None:
        moment = "finished before"
    process.send_signal(getattr(signal, f"SIG{kind}"))
    killed_s = time.monotonic()
    code = process.wait(timeout=GRACE_S)
    return {
        "moment": moment,
        "first step seen": resumed[-1] if resumed else 0,
        "last step": (_steps(workdir) or [0])[-1],
        "exit code": code,
        "seconds to end": round(time.monotonic() - killed_s, 2),
    }


def _steps(workdir: Path) -> list[int]:
    return [record["step"] for record in logged_metrics(workdir) if record["split"] == "train"]


def _saving(workdir: Path) -> bool:
    return any((workdir / "checkpoints").glob("*.orbax-checkpoint-tmp*"))


def _report(calm: Path, killed: Path, rows: list[dict], file: Path) -> int:
    def metrics(workdir: Path) -> list[dict]:
        return [{k: v for k, v in record.items() if k not in TIMINGS} for record in logged_metrics(workdir)]

    def fingerprint(workdir: Path) -> str:
        saved = [path for path in (workdir / "checkpoints").iterdir() if path.name.isdigit()]
        newest = max(saved, key=lambda path: int(path.name))
        return f"step {newest.name}: " + json.loads((newest / "progress" / "metadata").read_text())["fingerprint"]

    a, b = metrics(calm), metrics(killed)
    different = [x for x, y in zip(a, b, strict=False) if x != y]
    same = a == b and fingerprint(calm) == fingerprint(killed)
    lines = [f"# {len(rows)} kills: {'every number is the same' if same else 'NOT the same'}", ""]
    lines += [f"- records compared: {len(a)} without kills, {len(b)} with kills, {len(different)} different"]
    lines += [f"- last checkpoint without kills {fingerprint(calm)}, with kills {fingerprint(killed)}", ""]
    if rows:
        lines += ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
        lines += ["| " + " | ".join(str(value) for value in row.values()) + " |" for row in rows]
    if different:
        lines += ["", f"The first difference: `{json.dumps(different[0])}` without kills."]
    file.write_text("\n".join(lines) + "\n")
    print(file.read_text())
    return 0 if same else 1


def _failed(code: int, log: Path) -> int:
    print(f"chaos_train: the training ended with {code}: {log.read_text().strip().splitlines()[-1:]}", file=sys.stderr)
    return 2


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10, help="how often; default: 10")
    parser.add_argument(
        "--signals",
        choices=("KILL", "TERM"),
        nargs="+",
        default=["KILL"],
        help="of the kills, in turn; TERM: preemption; default: KILL",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the moments; default: 0")
    parser.add_argument("--out", default="chaos", help="folder for everything; default: chaos")
    parser.add_argument("train", nargs="+", help="arguments of `evc train`, behind --")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

"""A server under load: answers a second, how long they take, and memory, by the number of clients.

    python -m benchmarks.serving
    python -m benchmarks.serving --url http://HOST:8000 --clients 1,4,16 --emotion sad --clip-s 10

Without --url a server is started for it, on this machine, whose cores then work for clients and server alike (clients
need few of them). Every client sends a recording, waits for the whole answer and sends it again; what is refused with
429 is counted and sent again after the seconds that Retry-After says. One request for each client comes before the
time that is measured. Memory is the most that the server's process held so far, CPU what its threads worked for an
answer, as Linux tells.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import re
import statistics
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.harness import machine, number, write_json
from benchmarks.recordings import speech, with_recording
from evc_jax.errors import EvcError
from evc_jax.evaluation.tables import markdown_table
from evc_jax.serving.recordings import encode

RATE_HZ = 16000
STOP_S = 120


@dataclass
class Load:
    """What some clients did in the time that was measured."""

    clients: int
    wall_s: float = 0.0
    seconds: list[float] = field(default_factory=list)
    refused: int = 0
    peak_bytes: int | None = None
    cpu_s: float | None = None

    def result(self, clip_s: float) -> dict[str, Any]:
        """As JSON has it."""
        centiles = statistics.quantiles(self.seconds, n=20, method="inclusive") if len(self.seconds) > 1 else []
        return {
            "clients": self.clients,
            "answers": len(self.seconds),
            "answers_per_s": len(self.seconds) / self.wall_s,
            "audio_s_per_s": clip_s * len(self.seconds) / self.wall_s,
            "median_s": statistics.median(self.seconds),
            "p95_s": centiles[-1] if centiles else self.seconds[0],
            "refused": self.refused,
            "cpu_s_per_answer": None if self.cpu_s is None else self.cpu_s / len(self.seconds),
            "peak_bytes": self.peak_bytes,
        }


@contextlib.contextmanager
def server(arguments: argparse.Namespace) -> Iterator[tuple[str, int | None]]:
    """The address of a server, and the number of its process where it is ours."""
    if arguments.url:
        yield arguments.url, None
        return
    bundle = ["--bundle", arguments.bundle] if arguments.bundle else []
    command = [sys.executable, "-m", "evc_jax", "serve", "--port", "0", *bundle]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if found := re.search(r"ready at (\S+),", line):
                threading.Thread(target=process.stderr.read, daemon=True).start()  # a full pipe would stop it
                try:
                    yield found[1], process.pid
                finally:
                    process.terminate()
                    process.wait(STOP_S)
                return
    raise EvcError(f"The server did not start: {''.join(lines[-1:]).strip()}")


def form(clip_s: float, emotion: str) -> tuple[bytes, dict[str, str]]:
    """The body of a request and its headers."""
    boundary = uuid.uuid4().hex
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="%s"\r\n\r\n'
    recording = encode(speech(clip_s, RATE_HZ), RATE_HZ, "wav")
    parts = [head % "emotion", f"{emotion}\r\n", head % 'recording"; filename="a.wav']
    body = "".join(parts).encode() + recording + f"\r\n--{boundary}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def measure(url: str, clients: int, seconds: float, request: tuple[bytes, dict[str, str]], pid: int | None) -> Load:
    """So many clients for so many seconds; each finishes what it has begun."""
    load, lock, errors = Load(clients), threading.Lock(), []
    barrier = threading.Barrier(clients + 1)
    place = urlsplit(url)

    def send(connection: http.client.HTTPConnection) -> bool:
        connection.request("POST", f"{place.path}/convert", *request)
        with connection.getresponse() as answer:
            body = answer.read()
            if answer.status == 429:
                connection.close()  # as the server would, of one that is silent for a while
                time.sleep(int(answer.headers["Retry-After"]))
                return False
            if answer.status != 200:
                raise EvcError(f"The server answers with {answer.status}: {body[:200]!r}.")
        return True

    def run() -> None:
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=600)
        try:
            while not send(connection):
                pass
            connection.close()
            barrier.wait()
            while time.perf_counter() < ends[0]:
                begun = time.perf_counter()
                answered = send(connection)
                with lock:
                    load.refused += not answered
                    load.seconds += [time.perf_counter() - begun] if answered else []
        except (OSError, EvcError, http.client.HTTPException) as error:
            errors.append(error)
            barrier.abort()
        except threading.BrokenBarrierError:
            pass

    ends = [float("inf")]
    threads = [threading.Thread(target=run) for _ in range(clients)]
    for thread in threads:
        thread.start()
    with contextlib.suppress(threading.BrokenBarrierError):
        barrier.wait()
    begun, cpu_before_s = time.perf_counter(), _cpu_s(pid)
    ends[0] = begun + seconds
    for thread in threads:
        thread.join()
    load.wall_s = time.perf_counter() - begun
    if errors:
        raise EvcError(f"The load cannot be measured: {errors[0]}")
    load.peak_bytes, cpu_after_s = _peak_bytes(pid), _cpu_s(pid)
    if cpu_before_s is not None and cpu_after_s is not None:
        load.cpu_s = cpu_after_s - cpu_before_s
    return load


def _peak_bytes(pid: int | None) -> int | None:
    if pid is None or not Path(f"/proc/{pid}/status").exists():
        return None
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return 1024 * int(status["VmHWM"].split()[0])


def _cpu_s(pid: int | None) -> float | None:
    """What the server's threads have worked; other programs on the machine hardly change it."""
    if pid is None or not Path(f"/proc/{pid}/stat").exists():
        return None
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def table(results: list[dict[str, Any]]) -> str:
    """For people."""
    head = ("clients", "answers/s", "median", "95 %", "refused", "audio s/s", "CPU an answer", "memory")
    rows = [
        (
            str(each["clients"]),
            number(each["answers_per_s"]),
            f"{number(each['median_s'])} s",
            f"{number(each['p95_s'])} s",
            str(each["refused"]),
            number(each["audio_s_per_s"]),
            f"{number(each['cpu_s_per_answer'])} s" if each["cpu_s_per_answer"] else "",
            f"{each['peak_bytes'] / 1e9:.2f} GB" if each["peak_bytes"] else "",
        )
        for each in results
    ]
    return markdown_table(head, rows)


def main() -> int:
    arguments = options().parse_args()
    counts, clip_s = ((1, 2), 0.5) if arguments.quick else (arguments.clients, arguments.clip_s)
    load_before = os.getloadavg()[0]
    try:
        request = form(clip_s, arguments.emotion)
        with server(arguments) as (url, pid):
            seconds = 0.5 if arguments.quick else arguments.seconds
            results = [measure(url, count, seconds, request, pid).result(clip_s) for count in counts]
        measured = {**machine(), "load_before": load_before, "clip_s": clip_s, "results": results}
        if arguments.json:
            write_json(arguments.json, measured)
    except (EvcError, OSError) as error:
        print(f"serving: {error}", file=sys.stderr)
        return 2
    print(f"{measured['processor']}, {measured['cores']} cores; load average before: {load_before:.2f}\n")
    print(table(results))
    return 0


def _counts(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def options() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--url", default="", help="of a server that runs; default: one is started")
    made.add_argument("--clients", type=_counts, default=(1, 2, 4, 8, 16), metavar="N,N", help="default: 1,2,4,8,16")
    made.add_argument("--emotion", default="happy", help="default: happy")
    made.add_argument("--seconds", type=float, default=20.0, help="for each number of clients; default: 20")
    made.add_argument("--quick", action="store_true", help="for a second: to see that it still works")
    made.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    return with_recording(made)


if __name__ == "__main__":
    sys.exit(main())

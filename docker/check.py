"""Builds the image of a Dockerfile and tries it: health, a conversion, SIGTERM.

    python docker/check.py

Where Docker does not run, the same steps are done without it: a virtual environment in a temporary folder, into which
the Dockerfile's RUN lines install what its COPY lines and .dockerignore let through; an ordinary user who may not write
there; the Dockerfile's ENV, ENTRYPOINT, CMD and HEALTHCHECK. Both read the Dockerfile, so that neither departs from it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RECORDING = ROOT / "evc_jax" / "assets" / "demo.wav"
READY_S, STOP_S, NOBODY = 600, 150, 65534
# Of RUN lines, what makes the system rather than the installation.
SYSTEM_COMMANDS = ("useradd", "install", "ln")


def instructions(dockerfile: Path) -> list[tuple[str, str]]:
    """Name and argument of every instruction; lines that end with a backslash go on."""
    lines = [line for line in dockerfile.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [
        (name, argument.strip()) for name, _, argument in (line.partition(" ") for line in joined.split("\n") if line)
    ]


def last(parsed: Sequence[tuple[str, str]], name: str) -> str:
    """The argument of the last instruction of a name."""
    return [argument for each, argument in parsed if each == name][-1]


def environment_of(parsed: Sequence[tuple[str, str]]) -> dict[str, str]:
    """What ENV sets."""
    pairs = (part.partition("=") for name, argument in parsed if name == "ENV" for part in shlex.split(argument))
    return {name: value for name, _, value in pairs}


def context_files(root: Path = ROOT) -> list[str]:
    """The files that .dockerignore lets through, as Docker reads it: the last pattern that matches decides."""
    patterns = []
    for line in (root / ".dockerignore").read_text().split():
        text = re.escape(line.lstrip("!").strip("/"))
        text = text.replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
        patterns.append((re.compile(f"{text}(/.*)?"), line.startswith("!")))
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name != ".git"]
        for name in names:
            path = os.path.relpath(os.path.join(folder, name), root)
            decisions = [kept for pattern, kept in patterns if pattern.fullmatch(path)]
            if not decisions or decisions[-1]:
                found.append(path)
    return sorted(found)


def copy(argument: str, context: Sequence[str], folder: Path) -> None:
    """Does a COPY line; `folder` is the working directory."""
    *sources, target = [part for part in argument.split() if not part.startswith("--")]
    for source in sources:
        source = source.rstrip("/")
        inside = [path for path in context if path == source or path.startswith(f"{source}/")]
        if not inside:
            raise SystemExit(f"check.py: COPY {source}: .dockerignore lets no such file through.")
        for path in inside:
            within = Path(path).name if path == source else os.path.relpath(path, source)
            place = folder / target / within
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, place)


def install(parsed: Sequence[tuple[str, str]], root: Path, python: str) -> Path:
    """Does what builds the image: the virtual environment `root`/venv stands for its Python."""
    venv, folder, context = root / "venv", root, context_files()
    subprocess.run([python, "-m", "venv", "--without-pip", venv], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(venv / "bin" / "python")]
    for name, argument in parsed:
        if name == "WORKDIR":
            folder = root / "image" / argument.lstrip("/")
            folder.mkdir(parents=True, exist_ok=True)
        elif name == "COPY":
            copy(argument, context, folder)
        elif name == "RUN":
            for command in argument.split("&&"):
                words = shlex.split(command)
                if words[0] == "pip":
                    print(f"check.py: {command.strip()}", flush=True)
                    subprocess.run([*pip, "--quiet", *words[1:]], cwd=folder, check=True)
                elif words[0] not in SYSTEM_COMMANDS:
                    raise SystemExit(f"check.py: RUN {command.strip()}: only pip and {SYSTEM_COMMANDS} are known here.")
    return venv


def ordinary_python() -> tuple[list[str], str]:
    """What makes a command one of an ordinary user's, and a Python that this user may run."""
    if os.geteuid() != 0:
        return [], sys.executable
    user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--bounding-set=-all"]
    version = "{}.{}".format(*sys.version_info)
    for python in (sys.executable, f"/usr/bin/python{version}", f"/usr/local/bin/python{version}"):
        if (
            shutil.which(python)
            and subprocess.run([*user, python, "-c", ""], stderr=subprocess.DEVNULL).returncode == 0
        ):
            return user, os.path.realpath(python)
    raise SystemExit(f"check.py: user {NOBODY} may run no Python {version}; start this as an ordinary user.")


@contextlib.contextmanager
def without_docker(dockerfile: Path) -> Iterator[tuple[str, list[str]]]:
    """The server's address and what asks for its health; at the end SIGTERM, which has to end it with 0."""
    parsed, (user, python) = instructions(dockerfile), ordinary_python()
    with tempfile.TemporaryDirectory(prefix="evc-image-") as name, socket.create_server(("127.0.0.1", 0)) as free:
        root, port = Path(name), free.getsockname()[1]
        free.close()
        root.chmod(0o755)
        venv = install(parsed, root, python)
        temporary = root / "tmp"
        temporary.mkdir()
        temporary.chmod(0o777)
        for folder, _, _ in os.walk(root / "image") if not user else ():
            os.chmod(folder, 0o555)
        environment = environment_of(parsed) | {"EVC_SERVE_HOST": "127.0.0.1", "EVC_SERVE_PORT": str(port)}
        environment |= {"HOME": str(temporary), "TMPDIR": str(temporary), "PATH": f"{venv}/bin:{os.environ['PATH']}"}
        start = [*user, *json.loads(last(parsed, "ENTRYPOINT")), *json.loads(last(parsed, "CMD"))]
        probe = [*user, *json.loads(last(parsed, "HEALTHCHECK").partition("CMD")[2])]
        print(f"check.py: {' '.join(start)}", flush=True)
        with subprocess.Popen(start, env=environment, cwd=temporary) as process:
            try:
                yield f"http://127.0.0.1:{port}", ["env", "-i", *(f"{k}={v}" for k, v in environment.items()), *probe]
                process.send_signal(signal.SIGTERM)
                code = process.wait(STOP_S)
            finally:
                process.kill()
        if code:
            raise SystemExit(f"check.py: after SIGTERM the server ended with {code}.")


@contextlib.contextmanager
def with_docker(dockerfile: Path) -> Iterator[tuple[str, list[str]]]:
    """As `without_docker`, of a container with a root that cannot be written."""
    name = f"evc-check-{uuid.uuid4().hex[:8]}"
    subprocess.run(["docker", "build", "--file", dockerfile, "--tag", name, ROOT], check=True)
    limits = ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    subprocess.run(
        ["docker", "run", "--detach", "--name", name, "--publish", "127.0.0.1::8000", *limits, name], check=True
    )
    try:
        address = _output("docker", "port", name, "8000").splitlines()[0]
        probe = json.loads(last(instructions(dockerfile), "HEALTHCHECK").partition("CMD")[2])
        yield f"http://{address}", ["docker", "exec", name, *probe]
        subprocess.run(["docker", "stop", "--time", str(STOP_S), name], check=True)
        code = _output("docker", "inspect", "--format", "{{.State.ExitCode}}", name)
        if code != "0":
            raise SystemExit(f"check.py: after SIGTERM the container ended with {code}.")
    finally:
        subprocess.run(["docker", "logs", name])
        subprocess.run(["docker", "rm", "--force", name], stdout=subprocess.DEVNULL)
        subprocess.run(["docker", "rmi", name], stdout=subprocess.DEVNULL)


def try_out(url: str, probe: list[str]) -> None:
    """Waits until the server is healthy, and converts a recording."""
    started = time.monotonic()
    while subprocess.run(probe, stderr=subprocess.DEVNULL).returncode:
        if time.monotonic() - started > READY_S:
            raise SystemExit(f"check.py: the server was not healthy within {READY_S} s.")
        time.sleep(0.5)
    print(f"check.py: healthy after {time.monotonic() - started:.0f} s", flush=True)
    boundary = uuid.uuid4().hex
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n'
    body = (head % ("emotion", "")).encode() + b"happy\r\n" + (head % ("recording", '; filename="a.wav"')).encode()
    body += RECORDING.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
    request = urllib.request.Request(
        f"{url}/convert", body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    )
    with urllib.request.urlopen(request, timeout=READY_S) as answer:
        sound = answer.read()
    if sound[:4] != b"RIFF" or len(sound) < 16000:
        raise SystemExit(f"check.py: the answer is no recording: {sound[:100]!r}.")
    print(f"check.py: converted a recording to {len(sound)} bytes", flush=True)


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def docker_runs() -> bool:
    """Whether there is Docker, and its daemon answers."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return bool(shutil.which("docker")) and subprocess.run(["docker", "info"], **quiet).returncode == 0


def main() -> int:
    """0 once all has worked; a sentence and another code otherwise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dockerfile", type=Path, default=ROOT / "docker" / "Dockerfile", help="default: of the CPU")
    parser.add_argument("--without-docker", action="store_true", help="even where Docker runs")
    arguments = parser.parse_args()
    way = with_docker if docker_runs() and not arguments.without_docker else without_docker
    print(f"check.py: {way.__name__.replace('_', ' ')}", flush=True)
    with way(arguments.dockerfile) as (url, probe):
        try_out(url, probe)
    print("check.py: stopped with exit code 0")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A real server in a process of its own: its port, many clients at once, and its end."""

import concurrent.futures
import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest
from support.uploads import conversion, difference_db, recording

httpx = pytest.importorskip("httpx")
pytest.importorskip("uvicorn")

from evc_jax.cli.commands import main  # noqa: E402

CLIENTS = 24


class Server:
    """`evc serve` on a free port."""

    def __init__(self, bundle, folder, *options):
        (folder / "tmp").mkdir()
        self.folder = folder / "tmp"
        command = [sys.executable, "-m", "evc_jax.cli.commands", "serve", "--port", "0", "--bundle", str(bundle)]
        environment = os.environ | {"TMPDIR": str(self.folder)}
        self.process = subprocess.Popen(
            [*command, *options], env=environment, stderr=subprocess.PIPE, text=True, cwd=folder
        )
        lines = iter(self.process.stderr.readline, "")
        self.url = next(re.search(r"http://[\d.:]+", line)[0] for line in lines if "ready at" in line)

    def send(self, request):
        return httpx.request(**request | {"url": self.url + request["url"]}, timeout=600)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(300)


@pytest.fixture(scope="module")
def server(tiny_bundle, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVC_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        server = Server(tiny_bundle, tmp_path_factory.mktemp("server"), "--queue", "10", "--timeout", "600")
    yield server
    server.process.kill()


@pytest.mark.slow
def test_many_clients_then_sigterm(server, tiny_bundle, tmp_path):
    options = [{"emotion": emotion, "strength": strength} for emotion in ("happy", "sad") for strength in (0.5, 1.0)]
    datas = [recording(0.6 + 0.2 * i, f0_hz=120.0 + 20 * i) for i in range(len(options))]
    pairs = list(zip(datas, options, strict=True))
    expected = [command_line(tiny_bundle, tmp_path, data, fields) for data, fields in pairs]

    def send_until_accepted(number):
        answers = []
        while not answers or answers[-1].status_code == 429:
            if answers:
                time.sleep(float(answers[-1].headers["retry-after"]))
            data, fields = pairs[number % len(pairs)]
            answers.append(server.send(conversion(data, **fields)))
        return answers

    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(send_until_accepted, range(CLIENTS)))
    assert {answer.status_code for each in answers for answer in each} == {200, 429}
    for number, each in enumerate(answers):
        # Networks round otherwise in a batch with others, by how much depends on the processor: a thousandth at most.
        assert difference_db(each[-1].content, expected[number % len(pairs)]) < -60
    assert not list(server.folder.iterdir())

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        last = pool.submit(server.send, conversion(recording(8.0), emotion="happy"))
        while "evc_requests_running 1.0" not in server.send({"method": "GET", "url": "/metrics"}).text:
            time.sleep(0.005)
        assert server.stop() == 0
        assert last.result().status_code == 200
    with pytest.raises(httpx.ConnectError, match="refused"):
        server.send({"method": "GET", "url": "/health"})


def command_line(bundle, folder, data, options):
    """The bytes of the file that `evc convert` writes."""
    (folder / "in.wav").write_bytes(data)
    flags = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    files = [str(folder / "in.wav"), "-o", str(folder / "out.wav")]
    assert main(["convert", *files, "--bundle", str(bundle), *flags]) == 0
    return (folder / "out.wav").read_bytes()


def test_impossible_addresses(tiny_bundle, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["serve", "--port", port, "--bundle", str(tiny_bundle)]) == 2
    assert re.search(rf"127.0.0.1:{port} cannot be listened at .*; give another --host", capsys.readouterr().err)
    assert main(["serve", "--host", "no.such.host.invalid", "--bundle", str(tiny_bundle)]) == 2
    assert "give another --host or --port" in capsys.readouterr().err

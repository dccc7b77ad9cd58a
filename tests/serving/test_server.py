"""A real server in a process of its own: its port, fifty clients at once, and its end."""

import concurrent.futures
import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest
from support.uploads import command_line, conversion, recording

httpx = pytest.importorskip("httpx")
pytest.importorskip("uvicorn")

from evc_jax.cli.commands import main  # noqa: E402
from evc_jax.conversion.converter import Converter  # noqa: E402
from evc_jax.pretrained.bundle import load_bundle  # noqa: E402

CLIENTS = 50


class Server:
    """`evc serve` on a free port."""

    def __init__(self, bundle, folder, *options):
        (folder / "tmp").mkdir()
        self.folder = folder / "tmp"
        command = [
            sys.executable,
            "-m",
            "evc_jax.cli.commands",
            "serve",
            "--port",
            "0",
            "--bundle",
            str(bundle),
            *options,
        ]
        environment = os.environ | {"TMPDIR": str(self.folder)}
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, cwd=folder)
        lines = iter(self.process.stderr.readline, "")
        self.url = next(re.search(r"http://[\d.:]+", line)[0] for line in lines if "ready at" in line)

    def send(self, request):
        return httpx.request(**request | {"url": self.url + request["url"]}, timeout=600)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@pytest.fixture(scope="module")
def server(tiny_bundle, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVC_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        server = Server(tiny_bundle, tmp_path_factory.mktemp("server"), "--queue", "20", "--timeout", "600")
    yield server
    server.process.kill()


@pytest.mark.slow
def test_fifty_clients_then_sigterm(server, tiny_bundle, tmp_path):
    options = [{"emotion": emotion, "strength": strength} for emotion in ("happy", "sad") for strength in (0.5, 1.0)]
    datas = [recording(0.6 + 0.5 * i, f0_hz=120.0 + 20 * i) for i in range(len(options))]
    converter = Converter(load_bundle(tiny_bundle))
    pairs = list(zip(datas, options, strict=True))
    expected = [command_line(converter, tmp_path, data, **wish) for data, wish in pairs]

    def insist(number):
        """Answers until one is not 429."""
        answers = []
        while not answers or answers[-1].status_code == 429:
            if answers:
                time.sleep(float(answers[-1].headers["retry-after"]))
            data, wish = pairs[number % len(pairs)]
            answers.append(server.send(conversion(data, **wish)))
        return answers

    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(insist, range(CLIENTS)))
    assert {answer.status_code for each in answers for answer in each} == {200, 429}
    for number, each in enumerate(answers):
        assert each[-1].content == expected[number % len(pairs)]
    assert not list(server.folder.iterdir())

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        last = pool.submit(server.send, conversion(recording(8.0), emotion="happy"))
        while "evc_requests_running 1.0" not in server.send({"method": "GET", "url": "/metrics"}).text:
            time.sleep(0.005)
        assert server.stop() == 0
        assert last.result().status_code == 200
    with pytest.raises(httpx.ConnectError, match="refused"):
        server.send({"method": "GET", "url": "/health"})


def test_addresses_that_cannot_be(tiny_bundle, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["serve", "--port", port, "--bundle", str(tiny_bundle)]) == 2
    assert re.search(rf"127.0.0.1:{port} cannot be listened at .*; give another --host", capsys.readouterr().err)
    assert main(["serve", "--host", "no.such.host.invalid", "--bundle", str(tiny_bundle)]) == 2
    assert "give another --host or --port" in capsys.readouterr().err

"""A real server in a process of its own: its port, many clients at once, and its end."""

import concurrent.futures
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from support.uploads import conversion, difference_db, recording

httpx = pytest.importorskip("httpx")
pytest.importorskip("uvicorn")

from evc_jax.cli.commands import main  # noqa: E402

CLIENTS = 24
CLIENT = Path(__file__).resolve().parents[2] / "docs" / "examples" / "client.py"


class Server:
    """`evc serve` on a free port."""

    def __init__(self, bundle, folder, *options, **environment):
        (folder / "tmp").mkdir()
        self.folder = folder / "tmp"
        command = [sys.executable, "-m", "evc_jax", "serve", "--bundle", str(bundle), *options]
        environment = os.environ | {"TMPDIR": str(self.folder), "EVC_SERVE_PORT": "0"} | environment
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, cwd=folder)
        self.lines = []
        # A pipe that nobody reads fills up, and then the server waits for ever at its next line.
        self._reader = threading.Thread(target=lambda: self.lines.extend(self.process.stderr), daemon=True)
        self._reader.start()
        while not (found := [re.search(r"http://[\d.:]+", line) for line in self.lines if "ready at" in line]):
            assert self._reader.is_alive(), self.lines
            time.sleep(0.02)
        self.url = found[0][0]

    def send(self, request):
        return httpx.request(**request | {"url": self.url + request["url"]}, timeout=600)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(300)
        self._reader.join()
        return code


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


def test_a_server_listens_while_it_warms_up(tiny_bundle, tmp_path):
    """It answers that it is not ready, and once it is, one JSON line a request; SIGTERM ends it with 0."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url, statuses, stop = f"http://127.0.0.1:{port}", [], threading.Event()

    def ask():
        while not stop.is_set():
            try:
                answers = [httpx.get(f"{url}/health"), httpx.post(f"{url}/convert", content=b"x")]
            except httpx.TransportError:
                continue
            statuses.append([answer.status_code for answer in answers])
            if answers[0].status_code == 503:
                assert answers[0].json() == {"status": "warming up"}
                assert httpx.get(f"{url}/health/live").status_code == 200
            if answers[1].status_code == 503:
                assert int(answers[1].headers["retry-after"]) >= 1

    environment = {"EVC_SERVE_PORT": str(port), "EVC_SERVE_LOG_FORMAT": "json", "EVC_CACHE_DIR": str(tmp_path)}
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask)
        server = Server(tiny_bundle, tmp_path, **environment)
        stop.set()
        asked.result()
    assert statuses and statuses[0] == [503, 503]
    answer = httpx.get(f"{url}/no\u2028such%0Apath", headers={"X-Request-ID": "mine-1"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (404, "mine-1")
    (tmp_path / "in.wav").write_bytes(recording())
    client = [sys.executable, CLIENT, "in.wav", "out.wav", "--url", server.url, "--strength", "0.5"]
    subprocess.run([*client, "--emotion", "happy"], cwd=tmp_path, check=True)
    assert (tmp_path / "out.wav").read_bytes()[:4] == b"RIFF"
    refused = subprocess.run([*client, "--emotion", "hungry"], cwd=tmp_path, capture_output=True, text=True)
    assert refused.returncode == 1 and "There is no emotion 'hungry'" in refused.stderr
    assert server.stop() == 0
    lines = [json.loads(line) for line in server.lines]
    assert "(Apache-2.0)" in lines[0]["message"] and "no licence" in lines[0]["message"]
    (line,) = [line for line in lines if line.get("request_id") == "mine-1"]
    assert (line["method"], line["path"], line["status"]) == ("GET", "/no%E2%80%A8such%0Apath", 404)
    assert lines[-1]["message"] == "stopped"


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_damaged_bundle_ends_the_process(tiny_bundle, tmp_path, capfd, monkeypatch, log_format):
    shutil.copytree(tiny_bundle, tmp_path / "bundle")
    shutil.rmtree(tmp_path / "bundle" / "params" / "codegan")
    monkeypatch.setenv("EVC_SERVE_PORT", "0")
    assert main(["serve", "--bundle", str(tmp_path / "bundle"), "--log-format", log_format]) == 2
    last = capfd.readouterr().err.splitlines()[-1]
    sentence = json.loads(last)["message"] if log_format == "json" else last
    assert "damaged: the parameters of codegan cannot be read" in sentence and sentence.endswith("again.")

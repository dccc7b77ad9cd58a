"""What clients send and what they get, without a socket."""

import asyncio
import re
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from support.tiny_bundles import tone
from support.uploads import as_bytes, command_line, conversion, hostile, recording

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

import httpx
from prometheus_client.parser import text_string_to_metric_families

from evc_jax.audio import io as audio_io
from evc_jax.conversion.converter import Converter
from evc_jax.pretrained.bundle import load_bundle
from evc_jax.serving.app import make_app
from evc_jax.serving.service import Service
from evc_jax.serving.settings import ServerSettings

LIMITS = {"max_upload_mb": 1, "max_seconds": 10, "queue": 16, "timeout_s": 300, "workers": 2}


class Client:
    """Sends requests to the application, several at once if wanted."""

    def __init__(self, service):
        self.service = service
        self._app = make_app(service)

    def send(self, *requests):
        async def all_of_them():
            transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://evc", timeout=None) as client:
                return await asyncio.gather(*(client.request(**request) for request in requests))

        return asyncio.run(all_of_them())

    def get(self, path):
        return self.send({"method": "GET", "url": path})[0]

    def convert(self, data, headers=None, voices=(), **fields):
        return self.send(conversion(data, headers, voices, **fields))[0]


@pytest.fixture(scope="module")
def client(tiny_bundle):
    service = Service(load_bundle(tiny_bundle), ServerSettings(**LIMITS))
    yield Client(service)
    service.close()


@pytest.fixture
def small(tiny_bundle):
    """Makes clients of servers with narrower limits."""
    services = []

    def make(**limits):
        services.append(Service(load_bundle(tiny_bundle), ServerSettings(**LIMITS | limits)))
        return Client(services[-1])

    yield make
    for service in services:
        service.close()


REQUESTS = (
    {},
    {"emotion": "happy"},
    {"emotion": "sad", "strength": 1.5, "pitch_shift": 2.0},
    {"voice": "sampled:female", "seed": 3, "rate": 1.2},
    {"voice": "sampled:male", "timbre": 0.5, "flatten": 1.0},
)


@pytest.fixture(scope="module")
def converter(tiny_bundle):
    return Converter(load_bundle(tiny_bundle))


def test_answers_are_the_command_lines(client, converter, tmp_path):
    datas = [recording(0.6 + 0.7 * i, f0_hz=110 + 20 * i) for i in range(len(REQUESTS))]
    expected = [command_line(converter, tmp_path, data, **wish) for data, wish in zip(datas, REQUESTS, strict=True)]
    answer = client.convert(datas[2], **REQUESTS[2])
    assert answer.headers["content-type"] == "audio/wav"
    assert answer.content == expected[2]
    together = client.send(*(conversion(data, **wish) for data, wish in zip(datas, REQUESTS, strict=True)))
    for answer, wanted in zip(together, expected, strict=True):
        assert answer.status_code == 200, answer.text
        assert answer.content == wanted


def test_voices_of_uploads(client, converter, tmp_path):
    data, voices = recording(), [recording(1.0, f0_hz=210.0), recording(1.2, f0_hz=230.0)]
    paths = [tmp_path / f"{i}.wav" for i in range(2)]
    for path, voice in zip(paths, voices, strict=True):
        path.write_bytes(voice)
    for count, voice in ((1, paths[0]), (2, paths)):
        answer = client.convert(data, voices=voices[:count])
        assert answer.content == command_line(converter, tmp_path, data, voice=voice)


def test_transfers(client, converter, tmp_path):
    source, target = tone(1.0), tone(1.3, f0_hz=220.0)
    files = {"source": as_bytes(source, subtype="FLOAT"), "target": as_bytes(target, subtype="FLOAT")}
    for aspects in ("F", "RFU"):
        request = {"method": "POST", "url": "/transfer", "files": files, "data": {"aspects": aspects, "seed": 1}}
        (answer,) = client.send(request)
        audio_io.save(
            tmp_path / "out.wav", converter.transfer(source, 16000, target, 16000, aspects, seed=1).audio, 16000
        )
        assert answer.content == (tmp_path / "out.wav").read_bytes()
    (answer,) = client.send(request | {"data": {"aspects": "X"}})
    assert answer.status_code == 422 and "aspects are 'X'" in answer.json()["detail"]


def test_formats(client, converter, tmp_path):
    data = recording()
    flac = command_line(converter, tmp_path, data, ".flac")
    assert client.convert(data, format="flac").content == flac
    answer = client.convert(data, {"accept": "audio/flac, audio/wav;q=0.5"})
    assert answer.headers["content-type"] == "audio/flac" and answer.content == flac
    assert client.convert(data, {"accept": "audio/flac"}, format="wav").headers["content-type"] == "audio/wav"
    assert client.convert(data, format="exe").status_code == 422


@pytest.mark.parametrize("name", hostile())
def test_hostile_uploads_get_one_sentence(client, name):
    data, words = hostile()[name]
    answer = client.convert(data)
    if words:
        assert answer.status_code == (413 if "longer" in words else 422)
        detail = answer.json()["detail"]
        assert detail.startswith("recording: ") and words in detail and detail.endswith(".") and "\n" not in detail
    else:
        assert answer.status_code in (200, 422)
    as_voice = client.convert(recording(), voices=[data])
    assert as_voice.status_code == answer.status_code
    if words:
        assert as_voice.json()["detail"].startswith("voice_file: ")


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"strength": "much"}, "The field strength is 'much'; it should be a valid number"),
        ({"strength": "nan"}, "finite number"),
        ({"strength": "1e999"}, "finite number"),
        ({"strength": "4"}, "less than or equal to 3"),
        ({"seed": "-1"}, "greater than or equal to 0"),
        ({"seed": "9" * 500}, "The field seed is"),
        ({"rate": "0"}, "greater than or equal to 0.5"),
        ({"emotion": "bored"}, "choose one of neutral, happy, sad"),
        ({"emotion": "\x00"}, "choose one of neutral, happy, sad"),
        ({"vocoder": "harp"}, "There is no vocoder 'harp'"),
        ({"stregth": "1"}, "There is no field 'stregth'; choose from"),
        ({"strength": ["1", "2"]}, "strength is given twice"),
        ({"timbre": "0.5"}, "timbre 0.5 leads from"),
        ({"voice": "sampled:robot"}, "is not one of original, sampled:male, sampled:female"),
        ({"voice": "/etc/passwd"}, "is not one of original"),
        ({"voice": "."}, "is not one of original"),
        ({"bundle": "/"}, "There is no field 'bundle'"),
    ],
)
def test_fields_that_cannot_be(client, fields, words):
    answer = client.convert(recording(), **fields)
    assert answer.status_code == 422 and words in answer.json()["detail"]


def test_forms_that_cannot_be(client):
    post = {"method": "POST", "url": "/convert"}
    form = {"content-type": "multipart/form-data; boundary=x"}
    cases = [
        (post | {"json": {"recording": "a"}}, 415, "send multipart/form-data"),
        (post, 415, "send multipart/form-data"),
        (post | {"content": b"nonsense", "headers": form}, 400, "form cannot be read"),
        (post | {"content": b"--x\r\n", "headers": {"content-type": "multipart/form-data"}}, 400, "boundary"),
        (post | {"files": {"voice_file": recording()}}, 422, "The field recording is missing"),
        (post | {"files": {"recording": recording(), "emotion": b"happy"}}, 422, "The field emotion is"),
        (post | {"files": {"recording": recording()}, "data": {"emotion": "x" * 2000}}, 400, "form cannot be read"),
        (conversion(recording(), voice="original", voices=[recording()]), 422, "Both voice and voice_file"),
        (conversion(recording(), voices=[recording()] * 20), 400, "Too many files"),
        ({"method": "GET", "url": "/convert"}, 405, "Method Not Allowed"),
        ({"method": "GET", "url": "/../../etc/passwd"}, 404, "Not Found"),
    ]
    for request, status, words in cases:
        (answer,) = client.send(request)
        assert (answer.status_code, words in answer.json()["detail"]) == (status, True), answer.text


async def pieces(data, size=50_000, delay_s=0.0):
    for start in range(0, len(data), size):
        await asyncio.sleep(delay_s)
        yield data[start : start + size]


def in_pieces(request, **options):
    """The same request without a Content-Length."""
    whole = httpx.Request(**{**request, "url": "http://evc/convert"})
    headers = {"content-type": whole.headers["content-type"]}
    return {"method": "POST", "url": "/convert", "content": pieces(whole.read(), **options), "headers": headers}


def test_large_uploads_are_refused_while_they_are_read(client):
    request = conversion(bytes(2**20 + 1))
    for each in (request, in_pieces(request)):
        (answer,) = client.send(each)
        assert answer.status_code == 413 and "larger than 1 MB" in answer.json()["detail"]
    (answer,) = client.send(in_pieces(conversion(recording())))
    assert answer.status_code == 200


def hold_conversions(client, monkeypatch):
    """An event without which no conversion ends."""
    opened = threading.Event()

    def convert(*arguments):
        assert opened.wait(60)
        return SimpleNamespace(audio=np.zeros(1600, np.float32))

    monkeypatch.setattr(client.service.converter, "convert_features", convert)
    return opened


def test_a_full_queue_says_when_to_come_again(small, monkeypatch):
    client = small(queue=3)
    opened = hold_conversions(client, monkeypatch)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(client.send, *[conversion(recording())] * 3)
        while client.service.admission.admitted < 3:
            time.sleep(0.01)
        running = client.service.settings.workers
        while metric(client, "evc_requests_running") < running:
            time.sleep(0.01)
        refused = client.send(*[conversion(recording())] * 5)
        waiting = metric(client, "evc_queue_depth")
        opened.set()
        served = first.result()
    assert [answer.status_code for answer in refused] == [429] * 5
    assert all(1 <= int(answer.headers["retry-after"]) <= 60 for answer in refused)
    assert "try again later" in refused[0].json()["detail"]
    assert [answer.status_code for answer in served] == [200] * 3
    assert waiting == 3 - running and client.service.admission.admitted == 0
    assert client.convert(recording()).status_code == 200


def test_timeouts(small, monkeypatch):
    client = small(timeout_s=0.5, queue=1)
    opened = hold_conversions(client, monkeypatch)
    answer = client.convert(recording())
    assert answer.status_code == 504 and "within 0.5 s" in answer.json()["detail"]
    assert client.convert(recording()).status_code == 429  # its work still goes on
    opened.set()
    while client.service.admission.admitted:
        time.sleep(0.01)
    (answer,) = client.send(in_pieces(conversion(recording()), size=1000, delay_s=0.2))
    assert answer.status_code == 408 and "upload did not arrive" in answer.json()["detail"]
    assert client.service.admission.admitted == 0


def test_mistakes_of_ours_tell_nothing(client, monkeypatch):
    monkeypatch.setattr(client.service.converter, "convert_features", lambda *_: 1 / 0)
    answer = client.convert(recording())
    assert answer.status_code == 500 and "server made a mistake" in answer.json()["detail"]


def test_nothing_touches_the_disk(client, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda *_, **__: pytest.fail("a temporary file was opened"))
    made = []
    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", lambda self: made.append(self))
    assert client.convert(as_bytes(tone(9.9, 48000), 48000)).status_code == 200
    assert client.convert(as_bytes(tone(9.0, 44100), 44100, "MP3"), voices=[recording()]).status_code == 200
    assert not made and not list(tmp_path.iterdir())


def metric(client, name, **labels):
    families = text_string_to_metric_families(client.get("/metrics").text)
    found = [sample for family in families for sample in family.samples if sample.name == name]
    return sum(sample.value for sample in found if labels.items() <= sample.labels.items())


def test_metrics(client):
    names = {"route": "/convert", "status": "200"}
    before = [metric(client, name, **names) for name in ("evc_requests_total",)]
    heard, said = (metric(client, "evc_audio_seconds_total", direction=way) for way in ("in", "out"))
    windows = metric(client, "evc_batch_windows_sum")
    client.convert(recording(1.0), rate=2)
    client.get("/no/such/path")
    assert metric(client, "evc_requests_total", **names) == before[0] + 1
    assert metric(client, "evc_request_seconds_count", route="/convert") >= 1
    assert metric(client, "evc_requests_total", route="other", status="404") >= 1
    assert metric(client, "evc_audio_seconds_total", direction="in") == pytest.approx(heard + 1.0)
    assert metric(client, "evc_audio_seconds_total", direction="out") == pytest.approx(said + 0.5)
    assert metric(client, "evc_batch_windows_sum") == windows + 1
    assert metric(client, "evc_queue_depth") == metric(client, "evc_requests_running") == 0


def test_information(client):
    assert client.get("/health").json() == {"status": "ready"}
    assert client.get("/health/live").json() == {"status": "live"}
    told = client.get("/info").json()
    assert told["emotions"] == ["neutral", "happy", "sad"]
    assert told["dials"]["strength"] == {"lowest": 0, "highest": 3, "default": 1}
    assert told["limits"]["upload_bytes"] == 2**20
    described = client.get("/openapi.json").json()
    assert set(described["paths"]) == {"/convert", "/transfer", "/health", "/health/live", "/info", "/metrics"}
    fields = set(re.findall(r'"(\w+)": {"title"|"(\w+)":', client.get("/openapi.json").text.replace('":{', '": {')))
    assert {"recording", "voice_file", "strength", "pitch_shift"} <= {name for pair in fields for name in pair}

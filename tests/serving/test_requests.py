"""What clients send and what they get, without a socket."""

import asyncio
import io
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from support.containers import as_container
from support.tiny_bundles import tiny_converter, tone
from support.uploads import as_bytes, conversion, converted_file, difference_db, hostile, recording

httpx = pytest.importorskip("httpx")
pytest.importorskip("fastapi")

from prometheus_client.parser import text_string_to_metric_families  # noqa: E402

from evc_jax.audio import io as audio_io  # noqa: E402

ROUNDING_DB = -80

TRACK = "start_s,end_s,emotion\n0.1,0.5,sad\n"
REQUESTS = (
    {},
    {"emotion": "happy"},
    {"emotion": "sad", "strength": 1.5, "pitch_shift": 2.0},
    {"voice": "sampled:female", "seed": 3, "rate": 1.2},
    {"voice": "sampled:male", "timbre": 0.5, "flatten": 1.0},
)


def assert_within_rounding(sound, expected):
    """Every sample is within one step of 16 bits."""
    samples = [soundfile.read(io.BytesIO(data), dtype="int16")[0].astype(int) for data in (sound, expected)]
    assert np.abs(np.subtract(*samples)).max() <= 1


def test_answers_are_those_of_the_converter(client, tmp_path):
    datas = [recording(0.6 + 0.9 * i, f0_hz=110 + 20 * i) for i in range(len(REQUESTS))]
    pairs = list(zip(datas, REQUESTS, strict=True))
    expected = [converted_file(tiny_converter(), tmp_path, data, **options) for data, options in pairs]
    answer = client.convert(datas[2], **REQUESTS[2])
    assert answer.headers["content-type"] == "audio/wav"
    assert_within_rounding(answer.content, expected[2])
    together = client.send(*(conversion(data, **options) for data, options in pairs))
    for answer, wanted in zip(together, expected, strict=True):
        assert answer.status_code == 200, answer.text
        assert_within_rounding(answer.content, wanted)


def test_uploads_of_a_browser(client, tmp_path):
    pytest.importorskip("av")
    data = as_container(tone(0.9, 48000), 48000, "webm", "libopus")
    answer = client.convert(data, emotion="happy")
    assert answer.status_code == 200, answer.text
    assert_within_rounding(answer.content, converted_file(tiny_converter(), tmp_path, data, emotion="happy"))
    refused = client.convert(data[:100])
    assert refused.status_code == 422 and "cannot be read as audio; give a WAV" in refused.text


def test_rendering_from_the_source_with_nothing_asked_answers_with_the_recording_itself(client):
    pcm = np.round(32768 * np.clip(tone(0.8, level=0.5), -1, 0.99)).astype(np.int16)
    answer = client.convert(as_bytes(pcm), rendering="source")
    assert answer.status_code == 200, answer.text
    np.testing.assert_array_equal(soundfile.read(io.BytesIO(answer.content), dtype="int16")[0], pcm)
    assert client.get("/info").json()["default_rendering"] == "decoder"


def test_voices_of_uploads(client, tmp_path):
    data, voices = recording(), [recording(1.0, f0_hz=210.0), recording(1.2, f0_hz=230.0)]
    paths = [tmp_path / f"{i}.wav" for i in range(2)]
    for path, voice in zip(paths, voices, strict=True):
        path.write_bytes(voice)
    for count, voice in ((1, paths[0]), (2, paths)):
        answer = client.convert(data, voices=voices[:count], timbre=0.5)
        expected = converted_file(tiny_converter(), tmp_path, data, voice=voice, timbre=0.5)
        assert difference_db(answer.content, expected) < ROUNDING_DB


def test_transfers(client, tmp_path):
    source, target = tone(1.0), tone(1.3, f0_hz=220.0)
    files = {"source": as_bytes(source, subtype="FLOAT"), "target": as_bytes(target, subtype="FLOAT")}
    for aspects in ("F", "RFU"):
        request = {"method": "POST", "url": "/transfer", "files": files, "data": {"aspects": aspects, "seed": 1}}
        (answer,) = client.send(request)
        expected = tiny_converter().transfer(source, 16000, target, 16000, aspects, seed=1)
        audio_io.save(tmp_path / "out.wav", expected.audio, 16000)
        assert difference_db(answer.content, (tmp_path / "out.wav").read_bytes()) < ROUNDING_DB
    for fields, words in (({"aspects": "X"}, "aspects are 'X'"), ({"rate": "2"}, "There is no field 'rate'")):
        (answer,) = client.send(request | {"data": fields})
        assert answer.status_code == 422 and words in answer.json()["detail"]


def test_formats(client, tmp_path):
    data = recording()
    expected = converted_file(tiny_converter(), tmp_path, data, ".flac")
    answer = client.convert(data, {"accept": "audio/flac, audio/wav;q=0.5"})
    assert answer.headers["content-type"] == "audio/flac"
    for flac in (answer.content, client.convert(data, format="flac").content):
        assert flac[:4] == b"fLaC" and difference_db(flac, expected) < ROUNDING_DB
    assert client.convert(data, {"accept": "audio/flac"}, format="wav").headers["content-type"] == "audio/wav"
    assert client.convert(data, format="exe").status_code == 422


@pytest.mark.parametrize("name", hostile())
def test_hostile_uploads_get_one_sentence(client, name):
    data, words = hostile()[name]
    answers = client.send(conversion(data), conversion(recording(), voices=[data]))
    for answer, field in zip(answers, ("recording", "voice_file"), strict=True):
        if words:
            assert answer.status_code == (413 if "longer" in words else 422)
            detail = answer.json()["detail"]
            assert detail.startswith(f"{field}: ") and words in detail and detail.endswith(".") and "\n" not in detail
        else:
            assert answer.status_code in (200, 422)


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"strength": "much"}, "The field strength is 'much'; give a number from 0 to 3, or a curve of them"),
        ({"strength": "0:0,1"}, "The curve '0:0,1' cannot be read; give TIME:VALUE"),
        ({"strength": "0:0,1:4"}, "The strength is 4; give a number from 0 to 3."),
        ({"strength": "1:0,0:1"}, "A curve goes from 1 s to 0 s; give its points in order of time."),
        ({"strength": "nan"}, "The strength is nan; give a number from 0 to 3."),
        ({"strength": "1e999"}, "The strength is inf; give a number from 0 to 3."),
        ({"strength": "4"}, "The strength is 4; give a number from 0 to 3."),
        ({"seed": "-1"}, "The seed is -1; give an integer from 0 to 4294967295."),
        ({"seed": "1.5"}, "The field seed is '1.5'; give an integer from 0 to 4294967295."),
        ({"seed": "9" * 500}, "The seed is 999"),
        ({"flatten": "2"}, "The flatten pitch is 2; give a number from 0 to 1."),
        ({"flatten": "1", "flatten_pitch": "0"}, "flatten_pitch is given twice"),
        ({"emotion": "happy=0.5,bored=0.5"}, "There is no emotion 'bored'; choose one of neutral, happy, sad."),
        ({"emotion": "happy=-1"}, "The weight of happy is -1; give 0 or more."),
        ({"emotion": "happy=" + "9" * 9999}, "The field emotion has 10005 characters; give up to 10000."),
        ({"emotion": "happy", "emotion_track": TRACK}, "Both emotion and emotion_track are given; give one of them."),
        ({"emotion_track": TRACK.replace("0.5", "9")}, "goes on to 9 s, and the recording lasts 0.60 s; end the track"),
        ({"emotion_track": TRACK.replace("0.1", "2")}, "goes from 2 s to 0.5 s; let it end after its beginning."),
        ({"emotion_track": TRACK.replace("sad", "bored")}, "There is no emotion 'bored'; choose one of neutral, happy"),
        ({"emotion_track": TRACK + "0,1,sad\n" * 5000}, "The emotion track has 5001 spans; give up to 5000."),
        ({"emotion_track": "0\t0.5\t" + "sad," * 200_000}, "The emotion 'sad' is given twice"),
        ({"emotion_from": "hello.wav"}, "The field emotion_from is 'hello.wav'; give a recording: an uploaded file"),
        ({"emotion": "bored"}, "choose one of neutral, happy, sad"),
        ({"emotion": "\x00"}, "choose one of neutral, happy, sad"),
        ({"vocoder": "harp"}, "There is no vocoder 'harp'; choose one of griffin-lim, waveglow."),
        ({"stregth": "1"}, "There is no field 'stregth'; choose from"),
        ({"strength": ["1", "2"]}, "strength is given twice"),
        ({"timbre": "0.5"}, "timbre 0.5 leads from"),
        (
            {"voice": "sampled:robot"},
            "There is no voice 'sampled:robot'; choose one of original, sampled:male, sampled",
        ),
        ({"voice": "/etc/passwd"}, "There is no voice '/etc/passwd'"),
        ({"voice": "."}, "There is no voice '.'"),
        ({"bundle": "/"}, "There is no field 'bundle'"),
    ],
)
def test_impossible_fields(client, fields, words):
    answer = client.convert(recording(), **fields)
    assert answer.status_code == 422 and words in answer.json()["detail"], answer.text


def test_impossible_forms(client):
    post = {"method": "POST", "url": "/convert"}
    form = {"content-type": "multipart/form-data; boundary=x"}
    cases = [
        (post | {"data": {"recording": "a"}}, 415, "send multipart/form-data, as curl -F does, or application/json."),
        (post, 415, "send multipart/form-data"),
        (post | {"content": b"nonsense", "headers": form}, 400, "form cannot be read"),
        (post | {"content": b"--x\r\n", "headers": {"content-type": "multipart/form-data"}}, 400, "boundary"),
        (post | {"files": {"voice_file": recording()}}, 422, "The field recording is missing"),
        (post | {"files": {"recording": recording(), "emotion": b"happy"}}, 422, "The field emotion is"),
        (post | {"files": {"recording": recording()}, "data": {"emotion": "x" * 2**20}}, 413, "larger than 1 MB"),
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
        assert opened.wait(600)
        return SimpleNamespace(audio=np.zeros(1600, np.float32))

    monkeypatch.setattr(client.service.converter, "convert_features", convert)
    return opened


def test_a_full_queue_answers_with_retry_after(client, monkeypatch):
    client.narrow(monkeypatch, queue=3)
    opened = hold_conversions(client, monkeypatch)
    admission, workers = client.service.admission, client.service.settings.workers
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(client.send, *[conversion(recording())] * 3)
        while (admission.admitted, admission.running) != (3, workers):
            time.sleep(0.01)
        refused = client.send(*[conversion(recording())] * 5)
        assert metric(client, "evc_requests_running") == workers
        assert metric(client, "evc_queue_depth") == 3 - workers
        opened.set()
        accepted = first.result()
    assert [answer.status_code for answer in refused] == [429] * 5
    assert all(1 <= int(answer.headers["retry-after"]) <= 60 for answer in refused)
    assert "try again later" in refused[0].json()["detail"]
    assert [answer.status_code for answer in accepted] == [200] * 3
    assert admission.admitted == 0
    assert client.convert(recording()).status_code == 200


def test_timeouts(client, monkeypatch):
    client.narrow(monkeypatch, timeout_s=0.5, queue=1)
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


def test_failures_of_the_server_disclose_nothing(client, monkeypatch):
    monkeypatch.setattr(client.service.converter, "convert_features", lambda *_: 1 / 0)
    answer = client.convert(recording())
    assert answer.status_code == 500
    assert answer.json() == {"detail": "The server failed; its log holds the reason."}


def test_nothing_touches_the_disk(client, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda *_, **__: pytest.fail("a temporary file was opened"))
    made = []
    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", made.append)
    assert client.convert(as_bytes(tone(9.9, 48000), 48000)).status_code == 200
    assert client.convert(as_bytes(tone(9.0, 44100), 44100, "MP3"), voices=[recording()]).status_code == 200
    assert not made and not list(tmp_path.iterdir())


def metric(client, name, **labels):
    families = text_string_to_metric_families(client.get("/metrics").text)
    found = [sample for family in families for sample in family.samples if sample.name == name]
    return sum(sample.value for sample in found if labels.items() <= sample.labels.items())


def test_metrics(client):
    watched = (
        ("evc_requests_total", {"route": "/convert", "status": "200"}, 1),
        ("evc_request_seconds_count", {"route": "/convert"}, 1),
        ("evc_requests_total", {"route": "other", "status": "404"}, 1),
        ("evc_audio_seconds_total", {"direction": "in"}, 1.0),
        ("evc_audio_seconds_total", {"direction": "out"}, 0.5),
        ("evc_batch_windows_sum", {}, 1),
    )
    before = [metric(client, name, **labels) for name, labels, _ in watched]
    client.convert(recording(1.0), rate=2)
    client.get("/no/such/path")
    for value, (name, labels, growth) in zip(before, watched, strict=True):
        assert metric(client, name, **labels) == pytest.approx(value + growth), name
    assert metric(client, "evc_queue_depth") == metric(client, "evc_requests_running") == 0


def test_information(client):
    assert client.get("/health").json() == {"status": "ready"}
    assert client.get("/health/live").json() == {"status": "live"}
    found = client.get("/info").json()
    assert found["emotions"] == ["neutral", "happy", "sad"]
    strength = found["options"]["strength"]
    assert (strength["lowest"], strength["highest"], strength["default"]) == (0, 3, 1)
    assert found["limits"]["upload_bytes"] == 2**20

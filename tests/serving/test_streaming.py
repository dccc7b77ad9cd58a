"""Answers that are sent while they are made: what they hold, and what ends them."""

import asyncio
import io
import struct
import time

import numpy as np
import pytest
import soundfile
from support.tiny_bundles import tiny_converter, tone
from support.uploads import as_bytes, conversion, recording

httpx = pytest.importorskip("httpx")
pytest.importorskip("fastapi")

from evc_jax.audio import io as audio_io  # noqa: E402
from evc_jax.audio.io import AudioReader  # noqa: E402
from evc_jax.conversion.long_recordings import stream_convert  # noqa: E402
from evc_jax.conversion.settings import read_settings  # noqa: E402
from evc_jax.serving import service as service_module  # noqa: E402
from evc_jax.serving.streams import Limiter, open_stream  # noqa: E402

LONG = as_bytes(np.concatenate([tone(1.5, seed=i) for i in range(4)]), subtype="FLOAT")


@pytest.fixture(autouse=True)
def _short_segments(monkeypatch):
    monkeypatch.setattr(service_module, "STREAMED_S", (1.0, 2.0))


def test_a_stream_is_the_conversion_in_segments(client, tmp_path):
    answer = client.convert(LONG, emotion="happy", stream="true")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "audio/wav" and "content-length" not in answer.headers
    data = answer.content
    assert data[:4] == b"RIFF" and struct.unpack("<I", data[4:8])[0] == 2**32 - 1
    assert struct.unpack("<I", data[data.index(b"data") + 4 :][:4])[0] == 2**32 - 1
    (tmp_path / "out.wav").write_bytes(data)
    sound = soundfile.read(io.BytesIO(data), dtype="int16")[0]
    np.testing.assert_array_equal(sound, np.frombuffer(data[data.index(b"data") + 8 :], "<i2"))
    whole = soundfile.read(io.BytesIO(client.convert(LONG, emotion="happy").content))[0]
    assert abs(len(sound) - len(whole)) <= 1
    assert read_settings(tmp_path / "out.wav")["emotion"] == {"happy": 1.0}
    assert client.service.admission.admitted == 0


def test_opus(client):
    answer = client.convert(LONG, stream="true", format="opus")
    assert answer.headers["content-type"] == "audio/ogg; codecs=opus"
    with soundfile.SoundFile(io.BytesIO(answer.content)) as file:
        assert (file.format, file.subtype, file.channels) == ("OGG", "OPUS", 1)
        assert file.comment.startswith("synthetic speech")
        sound, rate_hz = file.read(), file.samplerate
    assert len(sound) / rate_hz == pytest.approx(6.0, abs=0.03)
    plain = soundfile.read(io.BytesIO(client.convert(LONG, stream="true").content))[0]
    level, expected = (np.sqrt(np.mean(each**2)) for each in (sound, plain))
    assert level == pytest.approx(expected, rel=0.2)


@pytest.mark.parametrize("container", ["wav", "ogg", "opus"])
def test_parts_are_ready_early(container):
    """Not all bytes come with the end, and together they are a file."""
    stream, sound = open_stream(16000, container, "made up"), tone(6.0)
    parts = [stream.add(sound[first : first + 16000]) for first in range(0, len(sound), 16000)]
    assert sum(map(bool, parts[:4])) >= 3
    decoded, rate_hz = soundfile.read(io.BytesIO(b"".join([*parts, stream.end()])))
    assert len(decoded) / rate_hz == pytest.approx(6.0, abs=0.001)
    nothing = open_stream(16000, container)
    assert len(nothing.end()) > 40


def test_peaks_are_scaled_down_from_where_they_are():
    limit, sound = Limiter(16000), tone(1.0)
    np.testing.assert_array_equal(limit(sound), sound)
    loud = limit(sound * 20)
    assert np.abs(loud).max() <= 1
    after = limit(sound)
    assert np.abs(after).max() < np.abs(sound).max() and np.abs(np.diff(after)).max() < np.abs(np.diff(sound)).max() * 2


def test_what_cannot_be_streamed_is_refused_as_ever(client):
    for fields, words in (
        ({"format": "mp3"}, "The format mp3 cannot be streamed; ask for one of wav, ogg, opus."),
        ({"stream": "maybe"}, "The field stream is 'maybe'; give true or false."),
        ({"emotion": "bored"}, "There is no emotion 'bored'"),
    ):
        answer = client.convert(recording(), **{"stream": "true"} | fields)
        assert answer.status_code == 422 and words in answer.json()["detail"]
    assert client.convert(b"x", stream="true").status_code == 422
    assert client.post("/convert", {"recording": "AAAA", "stream": 1}).status_code == 422
    assert client.service.admission.admitted == 0


def slow_segments(client, monkeypatch, seconds):
    """Conversions that take their time, and a list of those begun."""
    whole, begun = client.service.converter.convert_features, []

    def convert(*arguments):
        begun.append(time.monotonic())
        time.sleep(seconds)
        return whole(*arguments)

    monkeypatch.setattr(client.service.converter, "convert_features", convert)
    return begun


def wait_until_idle(client):
    deadline = time.monotonic() + 60
    while client.service.admission.admitted:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def exchange(client, request, has_gone):
    """Sends a request by ASGI itself, whose answer may stay incomplete; returns the messages of the answer.

    The client goes away as soon as `has_gone` says so of these messages.
    """
    request = httpx.Request(**{**request, "url": "http://evc/convert"})
    waiting, answer = [{"type": "http.request", "body": request.read(), "more_body": False}], []

    async def receive():
        if waiting:
            return waiting.pop()
        while not has_gone(answer):
            await asyncio.sleep(0.01)
        return {"type": "http.disconnect"}

    async def send(message):
        answer.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/convert",
        "query_string": b"",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
    }
    client.run(client.app(scope, receive, send))
    return answer


def test_the_deadline_holds_for_the_whole_stream(client, monkeypatch):
    client.narrow(monkeypatch, timeout_s=1.5, queue=1)
    begun = slow_segments(client, monkeypatch, 0.6)
    start, *parts = exchange(client, conversion(LONG, stream="true"), lambda answer: False)
    assert start["status"] == 200 and len(parts[0]["body"]) > 16000  # it began in time
    assert all(part["more_body"] for part in parts)  # and has no end, so that nobody takes it for whole
    wait_until_idle(client)
    assert len(begun) < 4


@pytest.mark.parametrize("stream", ["true", "false"])
def test_a_client_that_goes_away_ends_the_work(client, monkeypatch, stream):
    """Of a stream when its first part has come, of a whole answer while it is computed; the place is free then."""
    begun = slow_segments(client, monkeypatch, 0.3)
    exchange(client, conversion(LONG, stream=stream), lambda answer: len(answer) > 1 if stream == "true" else begun)
    wait_until_idle(client)
    count = len(begun)
    assert 1 <= count < 4 and client.service.admission.running == 0
    time.sleep(0.4)
    assert len(begun) == count


def test_segments_are_those_of_long_recordings(tmp_path):
    """The other way to the same sound: a recording that is longer than a segment, cut likewise."""
    (tmp_path / "in.wav").write_bytes(LONG)
    samples = audio_io.load(tmp_path / "in.wav", 16000)
    from evc_jax.conversion.long_recordings import convert_segments

    parts = list(convert_segments(tiny_converter(), AudioReader(samples, 16000), segment_s=(1.0, 2.0)))
    assert len(parts) >= 3 and sum(len(part.audio) for part in parts) == len(samples)
    assert len(list(stream_convert(tiny_converter(), AudioReader(samples, 16000)))) == 1

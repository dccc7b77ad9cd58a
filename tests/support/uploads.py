"""Recordings as bytes, good ones and hostile ones."""

import base64
import functools
import io
import struct

import numpy as np
import soundfile

from evc_jax.audio import io as audio_io
from support.tiny_bundles import tone


def as_bytes(samples, rate_hz=16000, container="WAV", **options):
    """A file of these samples."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate_hz, format=container, **options)
    return buffer.getvalue()


def recording(seconds=0.6, **options):
    """A WAV file with something like a voice."""
    return as_bytes(tone(seconds, **options))


def overstated_wav(rate_hz=16000, channels=1, data_bytes=2**31 - 1):
    """A header that claims much more than the 2,000 bytes that follow."""
    width = 2 * channels
    header = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", 2**32 - 1, b"WAVE", b"fmt ", 16, 1, channels, rate_hz,
                         min(rate_hz * width, 2**32 - 1), width % 2**16, 16)  # fmt: skip
    return header + struct.pack("<4sI", b"data", data_bytes) + bytes(2000)


def flac_bomb(hours):
    """Hours of silence in a few hundred kilobytes."""
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", 8000, 1, format="FLAC", subtype="PCM_16") as file:
        for _ in range(round(hours * 60)):
            file.write(np.zeros(60 * 8000, np.int16))
    return buffer.getvalue()


@functools.cache
def hostile():
    """Name, bytes and words of the answer; no words where a part may be read."""
    good = recording()
    spoilt = tone(0.6)
    spoilt[1000] = np.nan
    return {
        "nothing": (b"", "is empty"),
        "text": (b"not a recording\n" * 100, "cannot be read as audio"),
        "markup": (b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "cannot be read as audio"),
        "zip": (b"PK\x03\x04" + bytes(100), "cannot be read as audio"),
        "header alone": (good[:20], "cannot be read as audio"),
        "header without samples": (good[:44], "lasts 0.000 s"),
        "truncated": (good[:1044], "lasts 0.031 s"),
        "not a number": (as_bytes(spoilt, subtype="FLOAT"), "NaN or infinite"),
        "infinite": (as_bytes(np.full(9600, np.inf, np.float32), subtype="FLOAT"), "NaN or infinite"),
        "silence": (as_bytes(np.zeros(16000)), "is silent"),
        "a billion hertz": (as_bytes(tone(1.0), 10**9), "sample rate is 1000000000 Hz"),
        "one hertz": (as_bytes(tone(0.1)[:9], 1), "sample rate is 1 Hz"),
        "too many channels": (as_bytes(np.zeros((1000, 100))), "has shape"),
        "overstated": (overstated_wav(), "lasts 0.062 s"),
        "overstated channels": (overstated_wav(channels=60000), "cannot be read as audio"),
        "flac that stops": (as_bytes(tone(1.0), container="FLAC")[:200], ""),
        "ogg that stops": (as_bytes(tone(1.0), container="OGG")[:1000], ""),
        "mp3 that stops": (as_bytes(tone(1.0), container="MP3")[:100], ""),
        "long": (recording(11.0), "lasts longer than 10 s"),
        "bomb": (flac_bomb(0.5), "lasts longer than 10 s"),
    }


def conversion(data, headers=None, voices=(), **fields):
    """A request to /convert, as httpx takes it."""
    files = [("recording", ("name", data))] + [("voice_file", ("name", voice)) for voice in voices]
    return {"method": "POST", "url": "/convert", "files": files, "data": fields, "headers": headers}


def base64_text(data):
    """Bytes as a JSON body has them."""
    return base64.b64encode(data).decode()


def converted_file(converter, folder, data, suffix=".wav", **options):
    """The bytes of the file that `Converter.convert` and `save` make of an upload."""
    (folder / "in.wav").write_bytes(data)
    result = converter.convert(audio_io.load(folder / "in.wav", 16000), 16000, **options)
    audio_io.save(folder / f"out{suffix}", result.audio, 16000)
    return (folder / f"out{suffix}").read_bytes()


def difference_db(sound, expected):
    """The level of the difference of two files, below that of the second one."""
    samples = [soundfile.read(io.BytesIO(data))[0] for data in (sound, expected)]
    difference, level = (np.sqrt(np.mean(values**2)) for values in (np.subtract(*samples), samples[1]))
    return 20 * np.log10((difference + 1e-12) / level)

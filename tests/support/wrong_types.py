"""Calls with arguments of all types, in a process that checks no annotations; prints what came of them as JSON."""

import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import soundfile

from evc_jax import Converter, EvcError
from support.tiny_bundles import tiny_converter, tone

SOUND: Any = tone(0.6)

AUDIO = {
    "str": "hello.wav",
    "path": Path("hello.wav"),
    "bytes": b"RIFF",
    "None": None,
    "open file": io.BytesIO(b"RIFF"),
    "rows of two lengths": [[0.0, 0.1], [0.2]],
    "mapping": {"a": 1},
    "texts": ["a", "b"],
    "complex": SOUND.astype(complex),
    "bool": SOUND > 0,
    "int64": np.round(SOUND * 2**15).astype(np.int64),
    "one channel first": SOUND[None],
    "channels first": np.stack([SOUND, SOUND]),
    "three axes": SOUND[None, None],
    "number": 1.0,
    "nothing": [],
}
RATES = {"str": "16000", "None": None, "bool": True, "zero": 0, "half": 16000.5, "nan": float("nan"), "complex": 1j}
OPTIONS: list[dict[str, Any]] = [
    {"emotion": 5},
    {"emotion": ["sad", "happy"]},
    {"emotion": {"sad": "much"}},
    {"strength": None},
    {"strength": "strong"},
    {"strength": [1]},
    {"voice": 5},
    {"voice": None},
    {"voice": [None]},
    {"voice": b"anna"},
    {"voice": np.zeros(3, np.float32)},
    {"voice": np.zeros(3, "U4")},
    {"rate": "1.2"},
    {"rate": None},
    {"pitch_shift": np.zeros(2)},
    {"emotion_from": 5},
    {"emotion_track": 5},
    {"emotion_track": [5]},
    {"vocoder": 5},
    {"rendering": ["source"]},
    {"seed": 1.5},
    {"keep_timing": "yes"},
    {"colour": "red"},
]


def cases(converter: Converter, folder: Path) -> dict[str, Callable[[], Any]]:
    """By name a call that is wrong."""
    recording = folder / "in.wav"
    soundfile.write(recording, SOUND, 16000)
    found: dict[str, Callable[[], Any]] = {}
    for name, audio in AUDIO.items():
        found[f"audio {name}"] = lambda audio=audio: converter.convert(audio, 16000)
        found[f"target {name}"] = lambda audio=audio: converter.transfer(SOUND, 16000, audio, 16000)
    for name, rate_hz in RATES.items():
        found[f"rate {name}"] = lambda rate_hz=rate_hz: converter.convert(SOUND, rate_hz)
    for options in OPTIONS:
        found[f"options {options}"] = lambda options=options: converter.convert(SOUND, 16000, **options)
    for name, bundle in {"int": 5, "list": ["a"], "bytes": b"x", "absent": "nowhere"}.items():
        found[f"bundle {name}"] = lambda bundle=bundle: Converter.load(bundle)
    for name, source in {"int": 5, "None": None, "absent": folder / "no.wav", "array": SOUND}.items():
        found[f"file {name}"] = lambda source=source: converter.convert_file(source, folder / "a.wav")
    found["output int"] = lambda: converter.convert_file(recording, 5)
    found["opus rate"] = lambda: converter.convert_file(recording, folder / "a.opus", output_rate_hz=44100)
    found["aspects int"] = lambda: converter.transfer(SOUND, 16000, SOUND, 16000, 5)
    return found


def main() -> None:
    converter = tiny_converter()
    expected = converter.convert(SOUND, 16000).audio
    others = {"jax array": jnp.asarray(SOUND), "list": SOUND.tolist(), "column": SOUND[:, None]}
    calls = {**{name: (value, 16000) for name, value in others.items()}, "float rate": (SOUND, 16000.0)}
    calls["float64"] = (SOUND.astype(np.float64), 16000)
    answers: dict[str, Any] = {
        "same": {name: bool((converter.convert(*call).audio == expected).all()) for name, call in calls.items()}
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, call in cases(converter, Path(folder)).items():
            try:
                answers[name] = (False, f"no error but {call()!r}"[:200])
            except Exception as error:
                answers[name] = (isinstance(error, EvcError), f"{error}"[:400])
    print(json.dumps(answers))


if __name__ == "__main__":
    main()

"""Settings that are saved, carried by files, and asked for again."""

import json

import numpy as np
import pytest
import soundfile

from evc_jax import __version__
from evc_jax.audio import io as audio_io
from evc_jax.conversion.options import ConversionOptions, options_from
from evc_jax.conversion.settings import ORIGIN, metadata_text, read_settings, settings_of, write_settings
from evc_jax.errors import ConfigError

TRACK = [{"start_s": 0.0, "end_s": 1.0, "emotion": {"happy": 0.25, "sad": 0.75}, "strength": 0.5}]
EVERYTHING = {
    "emotion_track": TRACK,
    "emotion_fade": 0.1,
    "strength": "0:0,1.5:1",
    "voice": ["sampled:male", "sampled:female"],
    "pitch_shift": np.float64(2.5),
    "rate": 1.25,
    "seed": 3,
    "vocoder": "griffin-lim",
}


def again(settings):
    return options_from({name: value for name, value in settings.items() if name not in ORIGIN})


def test_only_what_is_asked_for_is_written():
    assert settings_of(ConversionOptions()) == {"evc_jax": __version__}
    assert settings_of(ConversionOptions(emotion="sad"), "my_bundle") == {
        "evc_jax": __version__,
        "bundle": "my_bundle",
        "emotion": {"sad": 1.0},
    }


def test_settings_come_back_from_json_and_from_audio(tmp_path):
    settings = settings_of(ConversionOptions(**EVERYTHING))
    write_settings(settings, tmp_path / "a.settings.json")
    for name in ("a.wav", "a.flac"):
        audio_io.save(tmp_path / name, np.zeros(1600, np.float32), 16000, metadata_text(settings))
    for name in ("a.settings.json", "a.wav", "a.flac"):
        found = read_settings(tmp_path / name)
        assert found == settings == settings_of(again(found))
    with soundfile.SoundFile(tmp_path / "a.wav") as sound:
        assert sound.comment.startswith(f"synthetic speech, evc_jax {__version__}; settings: ")
        assert len(sound) == 1600


def test_a_speaker_embedding_is_kept_bit_for_bit_and_samples_are_only_named():
    embedding = np.random.default_rng(0).normal(size=256).astype(np.float32)
    saved = json.loads(json.dumps(settings_of(ConversionOptions(voice=[embedding, "sampled:male"]))))
    first, second = options_from({"voice": saved["voice"]}).voices
    assert first.tobytes() == embedding.tobytes() and second == "sampled:male"
    assert settings_of(ConversionOptions(voice=np.ones(300, np.float32)))["voice"] == "(array of 300 numbers)"


@pytest.mark.parametrize("text", ["embedding:", "embedding:AAAA", "embedding:no base64!"])
def test_a_text_that_is_no_speaker_embedding_is_refused(text):
    with pytest.raises(ConfigError, match="does not hold 256 numbers"):
        ConversionOptions(voice=text)


def test_what_does_not_fit_into_metadata_is_left_out_of_it(tmp_path):
    rows = [{"start_s": i, "end_s": i + 1, "emotion": "sad"} for i in range(100)]
    text = metadata_text(settings_of(ConversionOptions(emotion_track=rows)))
    assert text.startswith("synthetic speech, evc_jax") and "too long" in text
    audio_io.save(tmp_path / "a.wav", np.zeros(1600, np.float32), 16000, text)
    with pytest.raises(ConfigError, match="carries no settings"):
        read_settings(tmp_path / "a.wav")


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.json", None, "cannot be read"),
        ("a.json", b"{", "are no JSON"),
        ("a.json", b"\xff\xfe\x00", "are no JSON"),
        ("a.json", b"[" * 100_000, "are no JSON"),
        ("a.json", b"[1]", "are no JSON object"),
        ("a.json", b'{"seed": ' + b"1" * 5000 + b"}", "are no JSON"),
        ("a.wav", None, "cannot be read .No such file"),
        ("a.wav", b"RIFF", "cannot be read as audio"),
    ],
)
def test_what_holds_no_settings_is_one_sentence(tmp_path, name, content, sentence):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=sentence) as caught:
        read_settings(tmp_path / name)
    assert "\n" not in str(caught.value) and name in str(caught.value)


def test_a_recording_of_somebody_carries_none(tmp_path):
    audio_io.save(tmp_path / "plain.wav", np.zeros(1600, np.float32), 16000)
    with pytest.raises(ConfigError, match="carries no settings"):
        read_settings(tmp_path / "plain.wav")

"""A folder as people have it becomes pieces of speech: any rate and length, nothing that is no speech."""

import numpy as np
import pytest
import soundfile
from support.own_voice import RATE_HZ, speech, write_recordings

from evc_jax.audio.config import AudioConfig
from evc_jax.errors import DataError
from evc_jax.training import own_speech
from evc_jax.training.own_speech import read_own_speech

CONFIG = AudioConfig()


def read(inputs, work, lines):
    return read_own_speech([str(each) for each in inputs], work, CONFIG, False, lines.append)


def test_a_messy_folder_becomes_pieces_of_speech(messy_speech):
    found, lines = messy_speech
    assert found.recordings == 3 and found.speech_s > 20
    assert len(found.held_out) >= 2 and len(found.training) > len(found.held_out)
    for piece in [*found.training, *found.held_out]:
        assert 1.0 * RATE_HZ <= len(piece.audio) <= 10.1 * RATE_HZ and (piece.f0_hz > 0).any()
    assert len(lines) == 4
    for name in ("silence.wav", "hum.wav", "broken.wav", "phone.m4a"):
        assert sum(name in line for line in lines) == 1


def test_quiet_recordings_are_speech_too():
    loud, quiet = (list(own_speech._speech_pieces(gain * speech(), CONFIG)) for gain in (1.0, 1e-3))
    assert [round(seconds, 1) for _, seconds in quiet] == [round(seconds, 1) for _, seconds in loud]


def test_too_little_speech_is_one_sentence(tmp_path):
    with pytest.raises(
        DataError, match=r"too little speech, \d+ s \(recordings: 2, with speech: 2\); give at least 60 s"
    ):
        read([write_recordings(tmp_path / "me", 2)], tmp_path / "work", [])


def test_a_long_recording_is_read_in_stretches(tmp_path, monkeypatch):
    monkeypatch.setattr(own_speech, "STRETCH_S", 10.0)
    whole = np.concatenate([speech(), np.zeros(20 * RATE_HZ), speech(), np.zeros(100)])
    soundfile.write(tmp_path / "long.flac", whole, RATE_HZ)
    stretches = list(own_speech._stretches(tmp_path / "long.flac", RATE_HZ))
    assert len(stretches) > 1 and max(map(len, stretches)) < 20 * RATE_HZ
    assert sum(map(len, stretches)) == len(whole)
    seconds = sum(s for stretch in stretches for _, s in own_speech._speech_pieces(stretch, CONFIG))
    alone = sum(s for _, s in own_speech._speech_pieces(speech(), CONFIG))
    assert abs(seconds - 2 * alone) < 2.0

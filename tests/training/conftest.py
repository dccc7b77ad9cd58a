"""Speech of one person, prepared once: preparing starts processes, which takes seconds."""

import numpy as np
import pytest
import soundfile
from support.own_voice import RATE_HZ, speech, write_recordings

from evc_jax.audio.config import AudioConfig
from evc_jax.training import own_speech


@pytest.fixture(scope="session")
def messy_speech(tmp_path_factory):
    """A folder as people have it, as `OwnSpeech`, and the lines about what was passed over."""
    work, lines = tmp_path_factory.mktemp("own"), []
    folder = write_recordings(work / "me", 2)
    long = np.concatenate([speech(44100), np.zeros(44100)] * 4)
    (folder / "deep").mkdir()
    soundfile.write(folder / "deep" / "long.flac", np.stack([long, 0.5 * long], axis=1), 44100)
    soundfile.write(folder / "silence.wav", np.zeros(5 * RATE_HZ), RATE_HZ)
    soundfile.write(folder / "hum.wav", 0.1 * np.sin(np.arange(5 * 8000) / 20), 8000)
    (folder / "broken.wav").write_text("no sound")
    (folder / "phone.m4a").write_text("of a format that is not read")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_speech, "MIN_SPEECH_S", 20.0)
        inputs = [str(folder), str(folder / "0.wav")]
        return own_speech.read_own_speech(inputs, work / "work", AudioConfig(), False, lines.append), lines

"""The speaker embedding block by block: the same trimming and the same partial utterances."""

import numpy as np
import pytest
from support.tiny_bundles import tone

from evc_jax.audio import io as audio_io
from evc_jax.conversion.blocks import marked
from evc_jax.conversion.speaker_stream import PartialEncoder, SpeechTrimmer
from evc_jax.features import speaker


@pytest.mark.parametrize("size", [100, 480, 7000, 10**6])
def test_trimming_is_that_of_the_whole(data_dir, size):
    speech = audio_io.load(data_dir / "emodb" / "wav" / "03a01Fa.flac", 16000)
    pause = np.zeros(30000, np.float32)
    samples = np.concatenate([pause, speech, pause, speech, pause])
    expected = speaker.trim_silences(samples)
    assert len(speech) < len(expected) < len(samples) - 50000
    trim = SpeechTrimmer()
    found = [trim(block, last) for block, last in marked(np.split(samples, range(size, len(samples), size)))]
    np.testing.assert_array_equal(np.concatenate(found), expected)


@pytest.mark.parametrize("samples", [1, 1600, 25600, 37760, 64000, 100000])
@pytest.mark.parametrize("size", [3000, 10**6])
def test_partials_are_those_of_the_whole(samples, size):
    speech = tone(7)[:samples]
    encoder = PartialEncoder()
    for start in range(0, samples, size):
        encoder.add(speech[start : start + size])
    assert encoder.samples == samples
    starts = speaker.partial_starts(samples)
    missing = (starts[-1] + speaker.PARTIAL_FRAMES) * speaker.MEL_HOP_SAMPLES - samples
    mel = speaker.power_mel(np.pad(speech, (0, max(missing, 0))))
    partials = np.stack([mel[start : start + speaker.PARTIAL_FRAMES] for start in starts])
    expected = speaker.embed_speaker(list(speaker.encode(partials)))
    assert encoder.embedding() @ expected > 0.999999

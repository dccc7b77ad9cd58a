"""F0 of sung vowels of every height."""

import numpy as np
import pytest
from support.vowels import VOWELS, sung_vowel

from evc_jax.audio.config import AudioConfig
from evc_jax.features import pitch

CONFIG = AudioConfig()
F0_HZ = (65, 66, 80, 100, 140, 200, 280, 330, 360, 400, 416, 430, 440, 452, 464, 490, 530, 572, 600)


@pytest.mark.parametrize("vowel", VOWELS)
def test_sung_vowels_are_voiced(vowel):
    lost = {}
    for f0_hz in F0_HZ:
        found_hz = pitch.estimate_f0(sung_vowel(float(f0_hz), vowel), CONFIG)[4:-4]
        right = np.mean(np.abs(found_hz / f0_hz - 1) < 0.05)
        if right < 0.98:
            lost[f0_hz] = right
    assert not lost

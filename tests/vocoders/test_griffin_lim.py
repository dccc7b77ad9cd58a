"""Griffin-Lim: lengths, level, reproducibility, and chunks whose seams nobody hears."""

import numpy as np
import pytest
from support.tiny_bundles import tone

from evc_jax.audio import io as audio_io
from evc_jax.audio.chunking import plan_chunks
from evc_jax.audio.config import AudioConfig
from evc_jax.audio.mel import log_mel, mel_filters, mel_to_magnitude
from evc_jax.evaluation.metrics import mel_l1
from evc_jax.vocoders import griffin_lim
from evc_jax.vocoders.griffin_lim import GriffinLim

CONFIG = AudioConfig()


def mel_of(samples):
    return np.clip(log_mel(samples, CONFIG), 0, 1)


@pytest.mark.parametrize("samples", [1600, 4000, 16000, 16000 + 255, 16000 + 256, 40001])
def test_the_length_is_that_of_the_source(samples):
    source = tone(3)[:samples]
    assert griffin_lim.griffin_lim(mel_of(source), CONFIG, length=samples, iterations=2).shape == (samples,)


def test_mel_and_level_come_close():
    source = tone(2)
    rebuilt = griffin_lim.griffin_lim(mel_of(source), CONFIG, length=len(source))
    assert mel_l1(source, rebuilt, CONFIG) < 0.03
    assert 0.7 < np.std(rebuilt) / np.std(source) < 1.2


def test_the_seed_reproduces_the_sound():
    mel = mel_of(tone(0.5))
    first, same, other = (griffin_lim.griffin_lim(mel, CONFIG, length=8000, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, same)
    assert np.abs(first - other).max() > 1e-3


def test_linear_magnitudes_have_the_mel_they_came_from():
    mel = mel_of(tone(1))
    linear = griffin_lim.mel_to_linear(mel, CONFIG)
    assert linear.min() >= 0
    decibels = 20 * np.log10(linear @ mel_filters(CONFIG).T / mel_to_magnitude(mel, CONFIG))
    assert np.abs(decibels).mean() < 1


def test_what_is_known_is_continued():
    """With the first half of a sound known, the second half joins it in phase; without, it does not."""
    source = tone(1.0)
    mel, half = mel_of(source), CONFIG.window_samples // 2
    whole = griffin_lim.griffin_lim(mel, CONFIG, length=16000)
    past = np.concatenate([np.zeros(half, np.float32), whole[:8000]])
    known, unknown = (
        griffin_lim.griffin_lim(mel, CONFIG, length=16000, seed=1, past=given)[8000:8400] for given in (past, None)
    )
    expected = whole[8000:8400]
    assert np.corrcoef(known, expected)[0, 1] > 0.9 > abs(np.corrcoef(unknown, expected)[0, 1])


def test_one_chunk_is_griffin_lim_itself():
    mel = mel_of(tone(1.5))
    expected = griffin_lim.griffin_lim(mel, CONFIG, length=24000, iterations=4, seed=7)
    np.testing.assert_array_equal(GriffinLim(CONFIG, iterations=4)(mel, 24000, 7), expected)
    in_blocks = GriffinLim(CONFIG, iterations=4).stream([mel[:1], mel[1:50], mel[50:]], len(mel), 24000, 7)
    np.testing.assert_array_equal(np.concatenate(list(in_blocks)), expected)


@pytest.mark.parametrize("samples", [32000, 32001, 47999, 50000])
def test_chunks_have_the_length_and_do_not_depend_on_the_blocks(samples):
    mel = mel_of(tone(3))[: samples // 256 + 1]
    synthesize = GriffinLim(CONFIG, iterations=2, chunk_s=1.0)
    whole = synthesize(mel, samples, 0)
    assert whole.shape == (samples,) and not whole[(len(mel) - 1) * 256 + 512 :].any()
    blocks = np.split(mel, range(7, len(mel), 13))
    np.testing.assert_array_equal(np.concatenate(list(synthesize.stream(blocks, len(mel), samples, 0))), whole)


def test_seams_are_as_good_as_the_rest(data_dir):
    """Neither the mel's error nor its changes stand out where chunks meet; independent chunks' would."""
    path = sorted((data_dir / "librispeech").rglob("*.flac"))[0]
    source = audio_io.load(path, 16000)[: 16000 * 10]
    mel, seams = mel_of(source), _seams(len(source) // 256 + 1, 1.5)
    assert len(seams) > 6
    chunked = GriffinLim(CONFIG, chunk_s=1.5)(mel, len(source), 0)
    whole = GriffinLim(CONFIG)(mel, len(source), 0)
    near = np.zeros(len(mel), bool)
    near[np.add.outer(seams, np.arange(-4, 5)).ravel()] = True
    errors = {name: np.abs(mel_of(sound) - mel).mean(axis=1) for name, sound in (("c", chunked), ("w", whole))}
    assert errors["c"][near].mean() < 1.15 * errors["w"][near].mean()
    assert np.quantile(errors["c"][near], 0.95) < 1.3 * np.quantile(errors["w"][near], 0.95)
    flux = {name: np.abs(np.diff(mel_of(sound), axis=0)).mean(axis=1) for name, sound in (("c", chunked), ("w", whole))}
    np.testing.assert_allclose(flux["c"][near[1:]].mean(), flux["w"][near[1:]].mean(), rtol=0.03)


def _seams(frames, chunk_s):
    vocoder = GriffinLim(CONFIG, chunk_s=chunk_s)
    size, past, future = (vocoder._frames(seconds) for seconds in (chunk_s, griffin_lim.PAST_S, griffin_lim.FUTURE_S))
    return [chunk.first for chunk in plan_chunks(frames, size, past + 2, future)][1:]

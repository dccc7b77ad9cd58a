"""A folder as people have it becomes pieces of speech, and a bundle has only what became better on held-out ones."""

import dataclasses
import functools
import json

import jax
import numpy as np
import pytest
import soundfile
from support.own_voice import RATE_HZ, speech, write_recordings

from evc_jax.audio.config import AudioConfig
from evc_jax.conversion.converter import Converter
from evc_jax.errors import DataError
from evc_jax.models.speechsplit.config import ENCODERS
from evc_jax.pretrained.bundle import load_bundle
from evc_jax.pretrained.description import DESCRIPTION_FILE
from evc_jax.training import adaptation, held_out_figures, loop, own_speech
from evc_jax.training.adaptation import adapt
from evc_jax.training.held_out_figures import Figure, better_parts
from evc_jax.training.own_speech import read_own_speech

pytestmark = pytest.mark.usefixtures("quick_programs")
CONFIG = AudioConfig()


@pytest.fixture(scope="module")
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
    (folder / "book.aax").write_text("of a format that is not read")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_speech, "MIN_SPEECH_S", 20.0)
        inputs = [str(folder), str(folder / "0.wav")]
        return own_speech.read_own_speech(inputs, work / "work", CONFIG, False, lines.append), lines


@pytest.fixture
def run(tmp_path, tiny_bundle, messy_speech, monkeypatch):
    """Adapts the tiny bundle, whose conversions are near to nobody; its decoder with two steps where there is time."""
    prepared, _ = messy_speech
    monkeypatch.setattr(adaptation, "read_own_speech", lambda *_: prepared)
    monkeypatch.setattr(held_out_figures, "_conversions", lambda converter, voices: [prepared.held_out[0].audio])
    monkeypatch.setattr(held_out_figures, "REBUILT_PIECES", 1)
    monkeypatch.setattr(held_out_figures.judges, "is_installed", lambda module: False)
    steps = {"steps": 2, "minutes": 0.0}
    monkeypatch.setattr(adaptation, "train", lambda config, *a: loop.train(dataclasses.replace(config, **steps), *a))
    return functools.partial(adapt, ["me"], tmp_path / "adapted", name="me", bundle=tiny_bundle)


@pytest.mark.slow
def test_what_became_better_is_in_the_new_bundle(run, tmp_path, tiny_bundle, monkeypatch):
    monkeypatch.setattr(adaptation, "better_parts", lambda figures: tuple(dict.fromkeys(f.part for f in figures)))
    result = run(minutes=60)
    assert result.steps == 2 and result.held_out >= 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapted"]
    assert json.loads((tmp_path / "adapted" / "adaptation.json").read_text())["better"] == list(result.better)
    old, new = load_bundle(tiny_bundle), load_bundle(tmp_path / "adapted")
    before, after = (bundle.network("speechsplit").params for bundle in (old, new))
    jax.tree.map(np.testing.assert_array_equal, *({part: each[part] for part in ENCODERS} for each in (before, after)))
    changed = jax.tree.map(lambda a, b: bool((a != b).any()), before["decoder"], after["decoder"])
    assert any(jax.tree.leaves(changed))
    assert new.description["networks"]["speechsplit"]["steps"] == 2
    *others, owned = new.description["data"]
    assert others == old.description["data"] and owned["name"] == "recordings of me"
    conversion = Converter(new).convert(speech()[: 2 * RATE_HZ], RATE_HZ, voice="me")
    np.testing.assert_array_equal(conversion.embedding, new.voices["me"].embedding)
    assert new.voices["me"].spectrum_db is not None


def test_without_time_the_voice_alone_is_measured(run, tmp_path, tiny_bundle):
    result = run(minutes=0)
    assert result.steps == 0 and "voice" in result.better
    figure = result.figures[0]
    assert figure.after > figure.before
    old, new = load_bundle(tiny_bundle), load_bundle(tmp_path / "adapted")
    assert new.description["networks"] == old.description["networks"] and list(new.description["voices"]) == ["me"]
    assert new.speakers.names == old.speakers.names


def test_where_nothing_became_better_the_old_bundle_stays(run, tmp_path):
    run(minutes=0)
    before = (tmp_path / "adapted" / DESCRIPTION_FILE).read_bytes()
    # The same recordings cannot make the voice better a second time.
    assert not run(minutes=0).better
    assert (tmp_path / "adapted" / DESCRIPTION_FILE).read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapted"]


def test_a_part_is_better_if_nothing_of_it_is_worse():
    figures = [
        Figure("voice", "a", 0.5, 0.6),
        Figure("voice", "b", 0.5, 0.5),
        Figure("voice", "c", 0.5, 0.1, decides=False),
        Figure("register", "d", 2.0, 1.0, higher_is_better=False),
        Figure("decoder", "e", 2.0, 1.0, higher_is_better=False),
        Figure("decoder", "f", 0.5, 0.4),
        Figure("spectrum", "g", 1.0, 1.0),
        Figure("lost", "h", 1.0, float("nan")),
    ]
    assert better_parts(figures) == ("voice", "register")


def read(inputs, work, lines):
    return read_own_speech([str(each) for each in inputs], work, CONFIG, False, lines.append)


def test_a_messy_folder_becomes_pieces_of_speech(messy_speech):
    found, lines = messy_speech
    assert found.recordings == 3 and found.speech_s > 20
    assert len(found.held_out) >= 2 and len(found.training) > len(found.held_out)
    for piece in [*found.training, *found.held_out]:
        assert 1.0 * RATE_HZ <= len(piece.audio) <= 10.1 * RATE_HZ and (piece.f0_hz > 0).any()
    assert len(lines) == 4
    for name in ("silence.wav", "hum.wav", "broken.wav", "book.aax"):
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

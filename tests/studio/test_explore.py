"""The map of voices and the grid of emotions, without a browser."""

import re
import zipfile

import numpy as np
import pytest
import soundfile
from support.tiny_bundles import EMOTIONS, tiny_converter, tone, write_bundle

pytest.importorskip("gradio")

from evc_jax.conversion.options import ConversionOptions
from evc_jax.conversion.requested_voice import embedding_of
from evc_jax.conversion.voices import Voices
from evc_jax.errors import AudioError, ConfigError
from evc_jax.pretrained.bundle import load_bundle
from evc_jax.studio import emotion_grid, explore_tab, page
from evc_jax.studio.session import Studio
from evc_jax.studio.settings import StudioSettings
from evc_jax.studio.voice_map import MAX_DRAWN, MapVoice, Plane, VoiceMap

RATE_HZ = 16000


@pytest.fixture(autouse=True)
def own_voices(tmp_path, monkeypatch):
    folder = tmp_path / "voices"
    folder.mkdir()
    monkeypatch.setenv("EVC_VOICES_DIR", str(folder))
    return folder


@pytest.fixture
def studio(tmp_path):
    folder = tmp_path / "studio"
    folder.mkdir()
    return Studio(tiny_converter().bundle, StudioSettings(), folder)


@pytest.fixture
def voices(studio):
    return VoiceMap(studio.bundle, studio.converter.voices)


@pytest.fixture
def recording(tmp_path):
    soundfile.write(tmp_path / "hello.wav", tone(1.0), RATE_HZ)
    return str(tmp_path / "hello.wav")


def map_of(path):
    bundle = load_bundle(path)
    return VoiceMap(bundle, Voices(bundle))


def test_the_plane_has_the_directions_of_largest_variance():
    random = np.random.default_rng(0)
    places = random.normal(size=(50, 2)) * (5, 2)
    basis = np.linalg.qr(random.normal(size=(256, 2)))[0].T
    embeddings = places @ basis + 3 + 0.01 * random.normal(size=(50, 256))
    plane = Plane.fit(embeddings)
    assert plane.share > 0.99
    found = plane.place(embeddings)
    distances = [np.linalg.norm(each[:, None] - each[None], axis=-1) for each in (found, places)]
    np.testing.assert_allclose(*distances, atol=0.1)
    assert np.std(found[:, 0]) > np.std(found[:, 1])


@pytest.mark.parametrize("count", [1, 2])
def test_a_plane_of_hardly_any_voices(count):
    embeddings = np.eye(256)[:count]
    assert np.isfinite(Plane.fit(embeddings).place(embeddings)).all()


def test_a_drawn_voice_is_the_same_however_many_are_drawn(studio, voices):
    few, many = voices.drawn(1, seed=3), voices.drawn(MAX_DRAWN, seed=3)
    assert [voice.sex for voice in few] == ["male", "female"]
    assert len({voice.key for voice in many}) == 2 * MAX_DRAWN
    np.testing.assert_array_equal(few[1].embedding, many[MAX_DRAWN].embedding)
    sampled = studio.converter.voices.resolve("sampled:female", seed=3)
    np.testing.assert_allclose(few[1].embedding, sampled, atol=1e-6)
    assert not voices.drawn(0, seed=3)


def test_what_the_map_shows(studio, voices, recording, own_voices):
    np.save(own_voices / "me.npy", np.eye(256, dtype=np.float32)[7])
    (own_voices / "broken.npy").write_bytes(b"none")
    found = explore_tab.voices_on(studio, voices, recording, None, 2, 0)
    assert [voice.kind for voice in found] == ["speaker"] * 5 + ["drawn"] * 4 + ["named", "own"]
    assert found[0].text == "corpus-0é, a speaker of the training data, male"
    assert found[-2].label == "me" and found[-2].embedding[7] == 1
    assert found[-1].voice == "original"
    np.testing.assert_array_equal(embedding_of(found[0].voice), found[0].embedding)
    points = voices.points(found)
    assert {point["key"] for point in points} == {voice.key for voice in found}
    # The training speakers alone span the map: other voices do not move them.
    assert voices.points(voices.speakers) == points[:5]


def test_the_panel_compares_with_the_recording(studio, voices, recording):
    found = {voice.key: voice for voice in explore_tab.voices_on(studio, voices, recording, None, 0, 0)}
    speaker, own = found["speaker:corpus-1é"], found["own:Your recording"]
    cosine = float(own.embedding @ speaker.embedding)
    assert f"Cosine to your recording: {cosine:.2f}" in explore_tab.panel_html(speaker, found)
    assert "With a recording above" in explore_tab.panel_html(speaker, {})
    hostile = MapVoice("named", "<img src=x>", own.embedding)
    assert "<img" not in explore_tab.panel_html(hostile, found)


def test_a_recording_that_cannot_be_used_is_left_out(studio, voices, tmp_path):
    (tmp_path / "text.wav").write_text("not a recording")
    with pytest.warns(UserWarning, match="text.wav"):
        found = explore_tab.voices_on(studio, voices, None, str(tmp_path / "text.wav"), 0, None)
    assert [voice.kind for voice in found] == ["speaker"] * 5


def test_a_seed_out_of_bounds(studio, voices):
    with pytest.raises(ConfigError, match="The seed is -1"):
        explore_tab.voices_on(studio, voices, None, None, 1, -1)


def test_a_map_of_a_bundle_that_lacks_something(tmp_path):
    of_gan = map_of(write_bundle(tmp_path / "a", names=("voicegan",)))
    assert "as the bundle has no training speakers" in of_gan.sentence and len(of_gan.points(of_gan.drawn(3, 0))) == 6
    bare = map_of(write_bundle(tmp_path / "b", names=("speechsplit",)))
    assert "no training speakers" in bare.sentence and "no VoiceGAN" in bare.sentence
    assert bare.points(bare.drawn(3, 0)) == []
    assert len(bare.points([MapVoice("own", "Your recording", np.eye(256, dtype=np.float32)[0])])) == 1


def test_the_cells_of_a_grid_are_in_the_bundles_order():
    cells = emotion_grid.cells_of(["sad", "happy"], [1.5, 0.5], EMOTIONS)
    assert cells == [("happy", 0.5), ("happy", 1.5), ("sad", 0.5), ("sad", 1.5)]
    for nothing in (([], [1.0]), (["sad"], [])):
        with pytest.raises(ConfigError, match="The grid is empty"):
            emotion_grid.cells_of(*nothing, EMOTIONS)


def cells(strengths):
    return [("sad", s, ConversionOptions(emotion={"sad": 1.0}, strength=s)) for s in strengths]


def test_a_grid_grows_and_ends_with_a_download_of_all(studio, recording):
    pages = list(emotion_grid.filled(studio, recording, cells((0.5, 1.0))))
    assert [html.count("<audio") for html in pages] == [1, 2, 2]
    assert re.search(r"1\.00 s, (mean F0 \d+ Hz|nothing is voiced)", pages[0])
    token = re.search(r'/outputs/([^/"]+)/hello_emotions\.zip', pages[-1]).group(1)
    with zipfile.ZipFile(studio.outputs.find(token)) as archive:
        assert archive.namelist() == ["hello_sad_0.5.wav", "hello_sad_1.wav"]
        assert archive.read("hello_sad_1.wav").startswith(b"RIFF")
    assert not list(studio.folder.glob("*.zip"))


def test_a_grid_of_a_recording_that_is_too_long(studio, tmp_path):
    soundfile.write(tmp_path / "long.wav", np.zeros(31 * RATE_HZ, np.int16), RATE_HZ)
    with pytest.raises(AudioError, match="lasts 31 s; a grid takes up to 30 s"):
        next(emotion_grid.filled(studio, str(tmp_path / "long.wav"), cells((1.0,))))


def test_the_page_has_the_tab(studio):
    ids = {block.elem_id for block in page.make_page(studio).blocks.values()}
    assert {"voice-map", "map-draw", "map-use", "map-listen", "grid-make", "grid"} <= ids

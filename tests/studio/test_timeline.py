"""Timeline: what the page shows of a recording and of a track, and what it makes of its segments."""

import json
import re

import pytest

gr = pytest.importorskip("gradio")

import numpy as np  # noqa: E402
import soundfile  # noqa: E402
from support.tiny_bundles import tone  # noqa: E402

from evc_jax.conversion.emotion_track import EmotionTrack  # noqa: E402
from evc_jax.conversion.settings import settings_of  # noqa: E402
from evc_jax.errors import BundleError, ConfigError  # noqa: E402
from evc_jax.files import ASSETS  # noqa: E402
from evc_jax.pretrained.bundle import load_bundle  # noqa: E402
from evc_jax.studio.controls import Controls  # noqa: E402
from evc_jax.studio.session import Studio  # noqa: E402
from evc_jax.studio.settings import StudioSettings  # noqa: E402
from evc_jax.studio.timeline_tab import loaded, options_of, peaks, rows_of, shown, waveform  # noqa: E402

ROWS = [
    {"start_s": 0.25, "end_s": 1.0, "emotion": "sad", "strength": 1.5},
    {"start_s": 1, "end_s": 1.5, "emotion": "happy=0.5,sad=0.25", "strength": 1},
]


@pytest.fixture(scope="module")
def studio(tiny_bundle, tmp_path_factory) -> Studio:
    return Studio(load_bundle(tiny_bundle), StudioSettings(max_seconds=3), tmp_path_factory.mktemp("studio"))


@pytest.fixture(scope="module")
def controls(studio) -> Controls:
    with gr.Blocks():
        return Controls(studio)


def values_of(controls: Controls, **named) -> tuple:
    """The values of untouched controls, but for those that are named."""
    changed = {id(controls.numbers[name]): value for name, value in named.items()}
    return tuple(changed.get(id(each), each.value) for each in controls.components)


def recording(path, seconds: float):
    soundfile.write(path, tone(seconds), 16000)
    return str(path)


def test_peaks_follow_the_amplitude():
    audio = np.concatenate([np.zeros(8000), np.full(4000, -0.25), np.full(4000, 0.5)]).astype(np.float32)
    assert peaks(audio, 16000) == [0] * 100 + [50] * 50 + [100] * 50


@pytest.mark.parametrize("samples, count", [(150, 150), (16000, 200), (16000 * 10, 1000), (16000 * 600, 6000)])
def test_number_of_peaks_is_bounded(samples, count):
    assert len(peaks(np.zeros(samples, np.float32), 16000)) == count


def test_waveform_has_duration_and_sound(studio, tmp_path):
    value = waveform(studio, recording(tmp_path / "a.wav", 1.25))
    assert value["duration_s"] == 1.25
    assert max(value["peaks"]) == 100
    kept = studio.outputs.find(value["url"].split("/")[-2])
    assert soundfile.info(kept).duration == 1.25


def test_recordings_that_cannot_be_shown(studio, tmp_path):
    value = shown(studio, recording(tmp_path / "long.wav", 4))
    assert value == {
        "recording": None,
        "text": "The recording lasts 4 s; the studio takes up to 3 s, give a part of it.",
    }
    (tmp_path / "broken.wav").write_bytes(b"no recording")
    value = shown(studio, str(tmp_path / "broken.wav"))
    assert value["text"].startswith("broken.wav cannot be read as audio")


def test_segments_and_controls_become_options(controls):
    values = list(values_of(controls, pitch_shift=3, strength=2.5, keep_timing=1))
    values[1] = 1.0  # the first emotion of the mixer
    options = options_of(controls, tuple(values), {"rows": ROWS}, 0.1)
    assert options.emotion_track == EmotionTrack.from_rows(ROWS)
    assert (options.emotion, options.strength) == (None, 1.0)
    assert (options.pitch_shift, options.keep_timing, options.emotion_fade) == (3, 1, 0.1)


@pytest.mark.parametrize("value", [None, "", {}, {"rows": []}, {"rows": None}, [1]])
def test_no_segments(controls, value):
    with pytest.raises(ConfigError, match="There is no segment; drag over the waveform"):
        options_of(controls, values_of(controls), value, 0.3)


@pytest.mark.parametrize(
    "rows, sentence",
    [
        ("/etc/passwd", "is no mapping"),  # a page's visitor sends anything
        ([{"start_s": 2, "end_s": 1, "emotion": "sad"}], "let it end after its beginning"),
        ([{"start_s": 0, "end_s": 1, "emotion": "sad", "strength": 4}], "a number from 0 to 3"),
        (ROWS * 501, "has 1002 segments; the page takes up to 1000"),
    ],
)
def test_segments_that_cannot_be_used(controls, rows, sentence):
    with pytest.raises(ConfigError, match=sentence):
        options_of(controls, values_of(controls), {"rows": rows}, 0.3)


def test_segment_after_the_end_of_the_recording(studio, controls, tmp_path):
    options = options_of(controls, values_of(controls), {"rows": [{**ROWS[0], "end_s": 2.5}]}, 0.3)
    with pytest.raises(ConfigError, match=r"goes on to 2.5 s, and the recording lasts 1.00 s; end the track with it"):
        studio.convert(recording(tmp_path / "a.wav", 1), options)


def test_rows_are_texts_that_give_the_track_again():
    track = EmotionTrack.from_rows(ROWS)
    assert [row["emotion"] for row in rows_of(track)] == ["sad", f"happy={2 / 3!r},sad={1 / 3!r}"]
    assert EmotionTrack.from_rows(rows_of(track)) == track


def test_loads_a_table(studio, controls, tmp_path):
    file = tmp_path / "track.csv"
    file.write_text("start_s,end_s,emotion,strength\n0.25,1,sad,1.5\n")
    value, *others = loaded(studio, controls, str(file))
    assert value == {"rows": [ROWS[0]]}
    assert others == [gr.skip()] * (1 + len(controls.components))


def test_saved_settings_give_the_same_options_again(studio, controls, tmp_path):
    values = values_of(controls, pitch_shift=3, loudness=-2)
    options = options_of(controls, values, {"rows": ROWS}, 0.1)
    file = tmp_path / "a.settings.json"
    file.write_text(json.dumps(settings_of(options)))
    value, fade_s, *found = loaded(studio, controls, str(file))
    values = [None if each == gr.skip() else each for each in found]
    assert settings_of(options_of(controls, tuple(values), value, fade_s)) == settings_of(options)


def test_strength_of_settings_becomes_that_of_the_segments(studio, controls, tmp_path):
    file = tmp_path / "a.settings.json"
    file.write_text(json.dumps({"emotion_track": ROWS, "strength": 0.5}))
    value, *_ = loaded(studio, controls, str(file))
    assert [row["strength"] for row in value["rows"]] == [0.75, 0.5]


@pytest.mark.parametrize(
    "name, content, error, sentence",
    [
        ("a.csv", "start_s,end_s,emotion\n0,1,glad\n", BundleError, "There is no emotion 'glad'"),
        ("a.txt", "nothing", ConfigError, "^a.txt has no column start_s"),
        ("a.json", {"emotion": "sad"}, ConfigError, "no emotion that changes over time; load them in Convert"),
        ("a.json", {"emotion_track": "/etc/passwd"}, ConfigError, "name a file with the emotions over time"),
        ("a.json", {"emotion_track": ROWS, "voice": "/etc/passwd"}, ConfigError, "The voice 'passwd' is not here"),
        ("a.json", {"emotion_track": ROWS, "strength": [[0, 0], [1, 1]]}, ConfigError, "strength that changes over"),
        ("a.json", {"emotion_track": ROWS, "strength": 3}, ConfigError, "has the strength 4.5"),
        ("a.wav", "no sound", ConfigError, "a.wav cannot be read as audio"),
    ],
)
def test_files_without_a_track(studio, controls, tmp_path, name, content, error, sentence):
    file = tmp_path / name
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(error, match=sentence):
        loaded(studio, controls, str(file))


@pytest.mark.parametrize("name", ["timeline.html", "timeline.css"])
def test_assets_have_no_marks_of_gradios_templates(name):
    assert not re.search(r"\$\{|\{\{|`|\\|@children", (ASSETS / "studio" / name).read_text(encoding="utf-8"))

"""The page's controls ask for what their values say, and saved settings become values again."""

import json

import numpy as np
import pytest

gr = pytest.importorskip("gradio")

from evc_jax.conversion.options import options_from  # noqa: E402
from evc_jax.conversion.requested_voice import embedding_text  # noqa: E402
from evc_jax.errors import AudioWarning, ConfigError, EvcError  # noqa: E402
from evc_jax.pretrained.bundle import load_bundle  # noqa: E402
from evc_jax.studio.controls import Controls, HeldVoice, checked  # noqa: E402
from evc_jax.studio.events import FAILED, guarded, without_folders  # noqa: E402
from evc_jax.studio.session import Studio  # noqa: E402
from evc_jax.studio.settings import StudioSettings  # noqa: E402


@pytest.fixture(scope="module")
def studio(tiny_bundle, tmp_path_factory):
    return Studio(load_bundle(tiny_bundle), StudioSettings(max_seconds=5), tmp_path_factory.mktemp("session"))


@pytest.fixture(scope="module")
def controls(studio):
    with gr.Blocks():
        return Controls(studio)


def defaults(controls):
    return [component.value for component in controls.components]


def test_the_defaults_ask_for_nothing(studio, controls):
    settings = studio.settings_of(controls.options(tuple(defaults(controls))))
    assert set(settings) == {"evc_jax", "bundle"}


EMBEDDING = np.linspace(0.01, 0.1, 256, dtype=np.float32)


@pytest.mark.parametrize(
    "asked",
    [
        {"emotion": {"happy": 0.6, "sad": 0.4}, "strength": 1.5},
        {"voice": "sampled:male", "seed": 7, "timbre": 0.5},
        {"voice": embedding_text(EMBEDDING / np.linalg.norm(EMBEDDING)), "pitch_shift": -2.5},
        {"rate": 1.25, "effort": -0.5, "loudness": 6.0, "keep_timing": 1.0, "pitch_range": 0.5},
        {"rendering": "decoder", "vocoder": "griffin-lim", "flatten_pitch": 0.2},
    ],
)
def test_saved_settings_come_back(studio, controls, asked):
    saved = json.loads(json.dumps(studio.settings_of(options_from(asked))))
    values = controls.values_of(saved)
    again = studio.settings_of(controls.options(tuple(values)))
    assert again.pop("emotion", {}) == pytest.approx(saved.pop("emotion", {}), abs=1e-3)
    assert again == saved


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"voice": "/etc/passwd"}, "'passwd' is not here"),
        ({"voice": ["sampled:male", "secret.npy"]}, "'secret.npy' is not here"),
        ({"emotion_from": "/etc/passwd"}, "take the emotion of a recording"),
        ({"emotion_track": "/etc/passwd"}, "name a file"),
        ({"voice": [["a"], 3]}, "is not here"),
        ({"aspects": "RF"}, "settings of a transfer"),
    ],
)
def test_settings_of_a_visitor_name_no_file(studio, settings, words):
    with pytest.raises(ConfigError, match=words):
        checked(settings, studio)


def test_an_emotion_over_time_belongs_to_the_timeline(controls):
    row = {"start_s": 0, "end_s": 1, "emotion": "happy"}
    with pytest.raises(ConfigError, match="load them in Timeline"):
        controls.values_of({"emotion_track": [row]})
    with pytest.raises(ConfigError, match="use them with `evc convert --settings`"):
        controls.values_of({"emotion": "happy", "strength": [[0, 0], [1, 1]]})


@pytest.mark.parametrize(
    "settings",
    [{"emotion": "joy"}, {"strength": "x"}, {"rate": 9.0}, {"seed": -1}, {"sed": 1}]
    + [{"emotion_track": {"a": 1}}, {"emotion_track": [3]}, {"voice": {}}, {"voice": []}, {"voice": "embedding:AAAA"}],
    ids=str,
)
def test_settings_that_are_none_are_refused(controls, settings):
    with pytest.raises(EvcError):
        controls.values_of(settings)


def test_a_list_of_the_recordings_own_voice_is_that_voice(controls):
    assert controls.values_of({"voice": ["original"]}) == controls.values_of({})


def test_a_voice_is_needed_where_one_is_asked_for(controls):
    values = defaults(controls)
    kind = [component.elem_id for component in controls.components].index("voice")
    for value, words in (("recording", "no recording of the other voice"), ("held", "chosen elsewhere")):
        with pytest.raises(ConfigError, match=words):
            controls.options((*values[:kind], value, *values[kind + 1 :]))
    held = HeldVoice("a", "sampled:female")
    assert controls.options((*values[:kind], "held", *values[kind + 1 : -2], held, "")).voice == "sampled:female"


def test_errors_become_sentences_without_folders(caplog):
    @guarded
    def fails(error):
        raise error

    with pytest.raises(gr.Error, match="^'a.wav is empty; give another.'$"):
        fails(EvcError("/tmp/xyz/a.wav is empty; give another."))
    with pytest.raises(gr.Error, match=FAILED):
        fails(RuntimeError("/secret"))
    assert "/secret" in caplog.text
    assert without_folders("Give a/b or /tmp/x/y.") == "Give a/b or y."
    assert issubclass(AudioWarning, UserWarning)

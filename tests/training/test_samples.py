"""Pictures and sounds at validation: the right ones, the same each time, and never a reason to stop."""

import functools
import io
import json
import pkgutil
import struct
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import pytest
import soundfile
from etils import epath
from PIL import Image
from support.buzzers import RATE_HZ, prepare_buzzers
from support.tiny_systems import load_config
from support.tiny_voices import train_voices, write_voices
from tensorboardX.proto.event_pb2 import Event

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.mel import log_mel
from evc_jax.audio.plotting import Curve, CurvePanel, Panel, picture_of_panels
from evc_jax.features.f0_codes import LogF0Statistics, normalize_f0, quantize_f0
from evc_jax.models.speechsplit.network import NO_F0
from evc_jax.pretrained import start
from evc_jax.pretrained.description import build_network
from evc_jax.pretrained.workdir import Trained
from evc_jax.training.config import SYSTEMS, DataConfig
from evc_jax.training.metrics_writer import EventFile
from evc_jax.training.samples import utterances, voicegan
from evc_jax.training.samples.f0_converter import F0ConverterSampleLogger
from evc_jax.training.samples.sample_logger import picture, sound
from evc_jax.training.samples.speechsplit import VARIANTS

pytestmark = pytest.mark.usefixtures("quick_programs")
AUDIO = AudioConfig()
EMOTIONS = ("calm", "angry")


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    return prepare_buzzers(tmp_path_factory.mktemp("buzzers"))


def system_config(name, datasets, **changes):
    data = {"data_dir": str(datasets), "datasets": ("ravdess",)}
    options = {"options": {"emotions": EMOTIONS}} if name in ("codegan", "prosody") else {}
    return load_config(name, data=data, **options, **changes)


def settings(config):
    """Settings of the system's network; the options and the encoder decide on some of CodeGAN's."""
    known = {
        "codegan": {"code_channels": 10, "emotions": len(EMOTIONS), "residual": True},
        "prosody": {"emotions": len(EMOTIONS)},
    }
    return {**config.model, **known.get(config.system, {})}


def random_params(name, network_settings, seed=0):
    """Not `init`, which compiles something for every shape."""
    draw, shapes = np.random.default_rng(seed), build_network(name, network_settings).shapes()
    return jax.tree.map(lambda leaf: (0.2 * draw.normal(size=leaf.shape)).astype(np.float32), shapes)


def build_sample_logger(name, *arguments):
    return pkgutil.resolve_name(f"evc_jax.training.samples.{name}:{SYSTEMS[name]}SampleLogger")(*arguments)


def make(name, datasets):
    """A sample_logger of the tiny system, and parameters for it."""
    config = system_config(name, datasets)
    networks = {name: settings(config)}
    return build_sample_logger(name, config, networks[name]), {name: random_params(name, networks[name])}


@pytest.fixture(scope="module")
def frozen_speechsplit(datasets):
    """A tiny SpeechSplit that CodeGAN finds where its options point to."""
    config = system_config("speechsplit", datasets)
    networks = {"speechsplit": settings(config)}
    params = {"speechsplit": random_params("speechsplit", networks["speechsplit"], seed=1)}
    trained = Trained("speechsplit", {}, networks, params, step=1, metrics={})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(start, "load_for_inference", lambda workdir, checkpoint: trained)
        yield trained


@pytest.fixture(scope="module")
def compilations():
    seen = []

    def count(event, duration, **details):
        if "backend_compile" in event:
            seen.append(event)

    jax.monitoring.register_event_duration_secs_listener(count)
    yield seen
    jax.monitoring.unregister_event_duration_listener(count)


@dataclass
class Opened:
    """A sample_logger after its first call."""

    sample_logger: Any
    inference_params: dict
    first: list
    compilations: int


@pytest.fixture(scope="module")
def opened(datasets, frozen_speechsplit, compilations):
    """Sample loggers of the systems, each called once: compiling is what takes long here."""

    @functools.cache
    def open_sample_logger(name):
        sample_logger, inference_params = make(name, datasets)
        compilations.clear()
        first = list(sample_logger(inference_params))
        return Opened(sample_logger, inference_params, first, len(compilations))

    return open_sample_logger


@functools.cache
def reference():
    """The tiny SpeechSplit as a compiled function of parameters, mel, F0 classes, embedding and the rhythm's mel."""
    return jax.jit(build_network("speechsplit", load_config("speechsplit").model).apply)


def random_inputs():
    draw = np.random.default_rng(0)
    mel, f0, embedding = (draw.random(shape, dtype=np.float32) for shape in ((2, 192, 80), (2, 192), (2, 256)))
    classes = load_config("speechsplit").model["f0_classes"]
    return mel, f0, quantize_f0(f0, classes), embedding


def tag(summary):
    return summary.value[0].tag


def split_names(summaries):
    images = [tag(summary) for summary in summaries if summary.value[0].HasField("image")]
    return images, [tag(summary) for summary in summaries if summary.value[0].HasField("audio")]


def decode(summary):
    """The pixels of a picture [H, W, 3] or the samples of a sound [S], and the sound's rate."""
    value = summary.value[0]
    if value.HasField("image"):
        return np.asarray(Image.open(io.BytesIO(value.image.encoded_image_string))), None
    return soundfile.read(io.BytesIO(value.audio.encoded_audio_string), dtype="float32")


EXPECTED = {
    "speechsplit": (["aspects"], ["recording", "griffin-lim", *VARIANTS]),
    "f0_converter": (["f0"], []),
    "timbre_converter": (["mel"], []),
    "prosody": (["emotions"], []),
    "waveglow": (["mel"], ["recording", "griffin-lim", "waveglow"]),
    "codegan": (["codes", "mel"], ["recording", "unconverted", *EMOTIONS]),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_every_utterance_is_shown_and_later_calls_compile_nothing(name, opened, compilations):
    shown = opened(name)
    assert shown.compilations
    compilations.clear()
    again = list(shown.sample_logger(jax.tree.map(np.copy, shown.inference_params)))
    assert not compilations
    first = shown.first
    pictures, sounds = EXPECTED[name]
    for kinds, names in zip((pictures, sounds), split_names(first), strict=True):
        assert names == [f"utterance-{number}/{kind}" for number in (1, 2) for kind in kinds]
    # Recordings do not change: they are shown once.
    assert [tag(summary) for summary in again] == [t for t in map(tag, first) if not t.endswith("/recording")]
    assert not set(pictures) & set(sounds)
    for content, rate_hz in map(decode, first):
        assert rate_hz == RATE_HZ if content.ndim == 1 else content.std() > 1


def test_nothing_is_read_or_compiled_before_the_first_call(compilations):
    compilations.clear()
    for name in (*EXPECTED, "voicegan"):
        config = system_config(name, "/nowhere")
        build_sample_logger(name, config, settings(config))
    assert not compilations


def test_voices_are_shown(opened):
    assert split_names(opened("voicegan").first) == (["voices/map", "voices/nearest"], [])


@pytest.mark.parametrize("name", [*EXPECTED, "voicegan"])
def test_a_diverged_network_is_shown_as_well(name, opened, compilations):
    shown = opened(name)
    diverged = jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), shown.inference_params)
    compilations.clear()
    for content, _ in map(decode, shown.sample_logger(diverged)):
        assert np.isfinite(content).all() if content.ndim == 1 else content.std() > 1
    assert not compilations


@pytest.fixture
def without_validation(datasets, tmp_path):
    """The dataset as if nobody of it were held out for validation."""
    folder = tmp_path / "speech" / "ravdess" / "1.0.0"
    folder.parent.mkdir(parents=True)
    source = datasets / "speech" / "ravdess" / "1.0.0"
    folder.mkdir()
    for file in source.iterdir():
        if file.name != "metadata.json":
            (folder / file.name).symlink_to(file)
    metadata = json.loads((source / "metadata.json").read_text())
    del metadata["counts"]["validation"]
    (folder / "metadata.json").write_text(json.dumps(metadata))
    return tmp_path


def test_without_a_validation_split_there_is_less_to_show(without_validation, frozen_speechsplit):
    for name in EXPECTED:
        sample_logger, inference_params = make(name, without_validation)
        assert not list(sample_logger(inference_params))
    sample_logger, inference_params = make("voicegan", without_validation)
    assert len(list(sample_logger(inference_params))) == 2


def test_a_validation_split_without_speakers_of_its_own_is_no_obstacle(datasets, monkeypatch):
    table = voicegan.open_speakers(datasets, ("ravdess",), "train")

    def only_train(data_dir, names, split):
        if split != "train":
            raise voicegan.DataError("No speaker of them is in the validation split.")
        return table

    monkeypatch.setattr(voicegan, "open_speakers", only_train)
    sample_logger, inference_params = make("voicegan", datasets)
    assert len(list(sample_logger(inference_params))) == 2


def test_one_utterance_is_enough(datasets, monkeypatch):
    monkeypatch.setattr(utterances, "UTTERANCES", 1)
    sample_logger, inference_params = make("f0_converter", datasets)
    assert len(list(sample_logger(inference_params))) == 1


class Records:
    """A split of utterances of given (sex, emotion, speaker): 400 frames that count themselves, voiced from 250 on."""

    def __init__(self, *kinds):
        self.kinds = kinds

    def __len__(self):
        return len(self.kinds)

    def __getitem__(self, i):
        sex, emotion, speaker = self.kinds[i]
        frames = np.arange(400, dtype=np.float32)
        return {
            "mel": np.repeat(frames[:, None], 80, axis=1),
            "f0_hz": np.where(frames >= 250, 200, 0).astype(np.float32),
            "audio": (np.arange(399 * 256) // 256).astype(np.int16),
            "speaker_embedding": np.full(256, 1 / 16, np.float32),
            "log_f0_mean": 5.0,
            "log_f0_std": 0.2,
            "utterance_id": str(i),
            "sex": sex,
            "emotion": emotion,
            "speaker": speaker,
        }


@pytest.fixture
def choose(monkeypatch):
    """`utterances.choose` among given records."""

    def choose(records, frames=192):
        monkeypatch.setattr(utterances, "dataset_info", lambda data_dir, name: {"counts": {"validation": len(records)}})
        monkeypatch.setattr(utterances, "audio_config", lambda data_dir, names: AUDIO)
        monkeypatch.setattr(utterances, "open_split", lambda *args, **options: records)
        return utterances.choose(DataConfig(datasets=("any",)), frames)

    return choose


def test_the_first_and_the_last_utterance_are_shown(choose):
    kinds = [("male", "sad", "a"), ("male", "happy", "b"), ("female", "happy", "d")]
    assert [u.title for u in choose(Records(*kinds))] == ["0, male, sad", "2, female, happy"]
    assert [u.title for u in choose(Records(("unknown", "unknown", "x")))] == ["0"]


def test_the_most_voiced_stretch_is_taken_with_its_sound(choose):
    (utterance,) = choose(Records(("male", "sad", "a")), frames=120)
    first = utterance.mel[0, 0]
    assert first >= 250 and len(utterance.mel) == len(utterance.f0_hz) == 120 and utterance.f0_hz.all()
    # Every sample of frame t's hop is t.
    np.testing.assert_array_equal(np.round(utterance.audio[::256] * 32767), utterance.mel[:-1, 0])
    mel, f0, _ = utterances.batch([utterance], 192)
    assert mel.shape == (1, 192, 80) and not mel[0, 120:].any() and not f0[0, 120:].any()


def test_sounds_made_together_are_those_made_alone():
    times = np.arange(40 * 256) / RATE_HZ
    tones = [sum(np.sin(2 * np.pi * k * f0_hz * times) / k for k in range(1, 20)) for f0_hz in (150, 210)]
    mels = [np.clip(log_mel((0.1 * tone).astype(np.float32), AUDIO), 0, 1) for tone in tones]
    silence = np.full((30, 80), np.nan, np.float32)
    first, quiet, last = utterances.resynthesize([mels[0], silence, mels[1]], AUDIO)
    for copy, mel, f0_hz in ((first, mels[0], 150), (last, mels[1], 210)):
        assert len(copy.audio) == (len(mel) - 1) * 256 and len(copy.f0_hz) == len(mel)
        resynthesized = np.clip(log_mel(copy.audio, AUDIO), 0, 1)
        assert np.abs(resynthesized - mel)[4:-4].mean() < 0.03
        assert np.median(copy.f0_hz[copy.f0_hz > 0]) == pytest.approx(f0_hz, rel=0.03)
    assert np.abs(quiet.audio).max() < 1e-3 and not quiet.f0_hz.any() and len(quiet.f0_hz) == 30


def test_an_aspect_is_removed_by_a_zero_in_place_of_its_input(opened):
    sample_logger, params = opened("speechsplit").sample_logger, opened("speechsplit").inference_params["speechsplit"]
    mel, f0, classes, embedding = random_inputs()
    shown = dict(zip(VARIANTS, np.asarray(sample_logger._run(params, mel, f0, embedding)).swapaxes(0, 1), strict=True))
    expected = {
        "reconstruction": (mel, classes, embedding, mel),
        "without-rhythm": (mel, classes, embedding, 0 * mel),
        "without-content": (0 * mel, classes, embedding, mel),
        "without-pitch": (mel, np.full_like(classes, NO_F0), embedding, mel),
        "without-timbre": (mel, classes, 0 * embedding, mel),
    }
    for name, inputs in expected.items():
        np.testing.assert_allclose(shown[name], reference()(params, *inputs), atol=1e-5)
        assert name == "reconstruction" or not np.allclose(shown[name], shown["reconstruction"], atol=1e-4)


def test_f0_classes_become_hertz_of_the_speaker(datasets):
    config = system_config("f0_converter", datasets)
    sample_logger = F0ConverterSampleLogger(config, settings(config))
    statistics = LogF0Statistics(np.log(180.0), 0.2)
    f0_hz = np.concatenate([np.zeros(10), np.geomspace(100, 320, 40)]).astype(np.float32)
    mel, audio, embedding = (np.zeros(shape, np.float32) for shape in ((50, 80), (49 * 256,), (256,)))
    utterance = utterances.Utterance("utterance-1", "", mel, f0_hz, audio, embedding, statistics)
    classes = np.pad(quantize_f0(normalize_f0(f0_hz, statistics)), (0, 142))
    hertz = sample_logger._hertz(np.stack([classes] * 3), utterance)
    assert hertz.shape == (3, 50)
    # Half a class is 4 / 255 of a deviation.
    np.testing.assert_allclose(np.log(hertz[1, 10:] / f0_hz[10:]), 0, atol=0.2 * 4 / 255 + 1e-6)
    assert not hertz[:, :10].any()


def test_unconverted_codes_decode_to_the_reconstruction(opened, frozen_speechsplit):
    shown, frozen = opened("codegan"), frozen_speechsplit.params["speechsplit"]
    mel, f0, classes, embedding = random_inputs()
    rebuilt = reference()(frozen, mel, classes, embedding, mel)
    _, mels = shown.sample_logger._run((frozen, shown.inference_params["codegan"]), mel, f0, embedding)
    np.testing.assert_allclose(mels[:, 0], rebuilt, atol=1e-5)
    # A residual generator of zeros changes nothing, so every emotion is the reconstruction, too.
    zeros = jax.tree.map(np.zeros_like, shown.inference_params["codegan"])
    codes, mels = shown.sample_logger._run((frozen, zeros), mel, f0, embedding)
    assert codes.shape == (2, 1 + len(EMOTIONS), 24, 10)
    for number in range(1 + len(EMOTIONS)):
        np.testing.assert_allclose(mels[:, number], rebuilt, atol=1e-5)


def test_nearest_speakers():
    speakers = np.eye(4, 256, dtype=np.float32)
    between = ((speakers[:1] + speakers[1:2]) / np.sqrt(2)).astype(np.float32)
    np.testing.assert_allclose(voicegan.nearest_cosines(between, speakers), [np.sqrt(0.5)], rtol=1e-5)
    assert voicegan.nearest_cosines(1.00001 * speakers, speakers).tolist() == [1, 1, 1, 1]
    assert voicegan.nearest_cosines(speakers, speakers, among_them=True).tolist() == [0, 0, 0, 0]
    assert voicegan.nearest_cosines(speakers[:1], speakers[:1], among_them=True).size == 0


def test_titles_are_not_formulas():
    mel, f0_hz = np.zeros((30, 80), np.float32), np.full(30, 150, np.float32)
    assert picture_of_panels([Panel("$x", mel, f0_hz, f0_hz)], AUDIO, "a$b$\\c$").shape[2] == 3
    assert picture_of_panels([CurvePanel("$", mel, (Curve("given", f0_hz, "red"),))], AUDIO, "$_$").dtype == np.uint8


def read_events(folder):
    """The summaries of TensorBoard's only event file."""
    (file,) = folder.iterdir()
    content, position, values = file.read_bytes(), 0, []
    while position < len(content):
        (length,) = struct.unpack("<Q", content[position : position + 8])
        event = Event.FromString(content[position + 12 : position + 12 + length])
        values += [(event.step, value) for value in event.summary.value]
        position += 16 + length
    return values


def test_summaries_reach_tensorboard(tmp_path):
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 256, (20, 30, 3)).astype(np.uint8)
    loud = (3 * draw.normal(size=4000)).astype(np.float32)
    events = EventFile(epath.Path(tmp_path), 1)
    for summary in (picture("utterance-1/mel", pixels), sound("utterance-1/angry", loud, RATE_HZ)):
        events.add(summary, 7)
    events.close()
    (step, image), (_, audio) = read_events(tmp_path)
    assert step == 7 and image.tag == "utterance-1/mel" and audio.tag == "utterance-1/angry"
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(image.image.encoded_image_string))), pixels)
    samples, rate_hz = soundfile.read(io.BytesIO(audio.audio.encoded_audio_string), dtype="float32")
    assert rate_hz == audio.audio.sample_rate == RATE_HZ
    np.testing.assert_allclose(samples, loud / np.abs(loud).max(), atol=1e-4)


def test_a_training_shows_what_it_makes(tmp_path):
    train_voices(write_voices(tmp_path / "data"), tmp_path / "run", show_every=5)
    summaries = read_events(tmp_path / "run" / "tensorboard")
    pictures = [(step, value.tag) for step, value in summaries if value.HasField("image")]
    assert pictures == [(step, f"voices/{kind}") for step in (5, 10) for kind in ("map", "nearest")]

"""From trainings to a bundle; the trainings are stand-ins, the networks and the vocoders are real."""

import dataclasses

import jax
import numpy as np
import pytest
from support.acted_speech import acted_speech
from support.tiny_bundles import CONFIGS, EMOTIONS, config_of, random_params, tone

from evc_jax.audio.config import AudioConfig
from evc_jax.config import to_mapping
from evc_jax.conversion.converter import Converter
from evc_jax.conversion.options import ConversionOptions
from evc_jax.data.dataset import SpeakerTable
from evc_jax.errors import BundleError, ConfigError, DataError
from evc_jax.pretrained import start
from evc_jax.pretrained.bundle import load_bundle
from evc_jax.pretrained.description import build_network
from evc_jax.pretrained.workdir import Trained
from evc_jax.training import export

LICENCES = {"acted": "CC BY-NC-SA 4.0", "read": "CC BY 4.0"}


@pytest.fixture(autouse=True)
def trainings(monkeypatch):
    params = random_params((*CONFIGS, "prosody"))

    def load(workdir, checkpoint):
        name = str(workdir).removeprefix("runs/")
        options = {"emotions": list(EMOTIONS), "code": "pitch_rhythm"} if name in ("codegan", "prosody") else {}
        data = {"datasets": ["acted", "read"] if name == "speechsplit" else ["acted"]}
        return Trained(
            name, {"options": options, "data": data}, {name: config_of(name)}, {name: params[name]}, 7, {"loss": 0.5}
        )

    records = [{"audio": np.int16(20000 * tone(0.5, seed=i))} for i in range(3)]
    monkeypatch.setattr(start, "load_for_inference", load)
    monkeypatch.setattr(export, "dataset_info", lambda _, name: {"corpus": name, "licence": LICENCES[name]})
    monkeypatch.setattr(export, "audio_config", lambda _, names: AudioConfig())
    monkeypatch.setattr(export, "open_split", lambda *_, **__: records)
    monkeypatch.setattr(export, "open_speakers", lambda *_: speakers(3))


def speakers(count):
    """A table of speakers whose embeddings tell nothing."""
    random = np.random.default_rng(count)
    names = tuple(f"s{i}" for i in range(count))
    embeddings = np.abs(random.normal(size=(count, 256))).astype(np.float32)
    statistics = 5 + 0.2 * random.normal(size=count), np.full(count, 0.2)
    return SpeakerTable(names, names, np.ones(count, int), embeddings, *statistics)


def assemble(path, names, **options):
    return export.export_bundle({name: f"runs/{name}" for name in names}, path, **options)


def _convert(monkeypatch, name, audio):
    """Makes the training of one network look like a converted checkpoint with these audio settings."""
    load = start.load_for_inference

    def loaded(workdir, checkpoint):
        run = load(workdir, checkpoint)
        if run.system != name:
            return run
        config = {"options": {}, "data": {"datasets": []}, "audio": to_mapping(audio)}
        return dataclasses.replace(run, config={**config, "converted_from": {"file": "original.pt"}})

    monkeypatch.setattr(start, "load_for_inference", loaded)


def test_a_converted_checkpoint_brings_its_licence_and_its_audio_settings(tmp_path, monkeypatch):
    _convert(monkeypatch, "waveglow", AudioConfig())
    licence = load_bundle(assemble(tmp_path / "b", CONFIGS) and tmp_path / "b").description["licence"]
    assert "that of original.pt" in licence and LICENCES["acted"] in licence
    _convert(monkeypatch, "waveglow", AudioConfig(sample_rate_hz=22050, mel_max_hz=8000.0))
    message = r"the datasets and waveglow have different settings \(sample_rate_hz, mel_max_hz"
    with pytest.raises(ConfigError, match=message):
        assemble(tmp_path / "c", CONFIGS)


def test_everything_that_was_trained_is_in_the_bundle(tmp_path):
    assemble(tmp_path / "b", CONFIGS)
    bundle = load_bundle(tmp_path / "b")
    assert bundle.emotions == EMOTIONS and bundle.code == "pitch_rhythm"
    for name in CONFIGS:
        bundle.network(name)
        assert bundle.description["networks"][name]["steps"] == 7
        assert bundle.description["networks"][name]["validation"] == {"loss": 0.5}
    assert bundle.description["licence"] == "CC BY 4.0 and CC BY-NC-SA 4.0"
    used = {entry["name"]: entry["networks"] for entry in bundle.description["data"]}
    assert used["read"] == ["speechsplit"] and "codegan" in used["acted"]
    assert bundle.default_vocoder == "griffin-lim"


def test_the_default_rendering_and_the_register_of_the_trained_voices(tmp_path, monkeypatch):
    assemble(tmp_path / "b", CONFIGS)
    bundle = load_bundle(tmp_path / "b")
    assert bundle.default_rendering == "decoder" and bundle.register is None  # three speakers are too few
    asked = []
    monkeypatch.setattr(export, "open_speakers", lambda *given: asked.append(given) or speakers(40))
    monkeypatch.setattr(export, "open_split", lambda *_, **__: [])
    description = assemble(tmp_path / "b", CONFIGS, rendering="source", data_dir="there")
    bundle = load_bundle(tmp_path / "b")
    assert bundle.default_rendering == "source"
    assert asked == [("there", ["acted", "read"], split) for split in ("train", "validation")]
    first = speakers(40)
    assert bundle.speakers.names == first.names
    predicted = bundle.register.predict(first.embeddings[0])
    assert abs(predicted.mean - first.log_f0_mean[0]) < 0.2 and predicted.std == pytest.approx(0.2, rel=1e-3)
    assert 0 < description["evaluation"]["register_error_semitones"] < 5


def test_the_classifier_of_the_emotions_that_the_trained_voices_acted(tmp_path, monkeypatch):
    records = acted_speech().training
    read = [{**record, "speaker": "reader", "emotion": "unknown"} for record in records[:2]]
    emotions = {"acted": ["happy", "neutral", "sad", "angry"], "read": ["unknown"]}
    monkeypatch.setattr(
        export, "dataset_info", lambda _, name: {"corpus": name, "licence": LICENCES[name], "emotions": emotions[name]}
    )
    monkeypatch.setattr(export, "open_split", lambda _, name, *__, **___: records if name == "acted" else read)
    monkeypatch.setattr(export, "open_speakers", lambda *given: speakers(40))
    description = assemble(tmp_path / "b", ("speechsplit", "codegan"))
    classifier = load_bundle(tmp_path / "b").emotion_classifier
    assert classifier.emotions == EMOTIONS  # nothing angry is known to the networks
    assert description["evaluation"]["emotion_recall"] > 0.6
    monkeypatch.setattr(export, "open_speakers", lambda *given: speakers(3))
    assert "emotion_classifier" not in assemble(tmp_path / "c", ("speechsplit", "codegan"))


def test_the_map_has_speakers_of_the_training_data_or_those_of_the_base(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "open_split", lambda *_, **__: [])
    monkeypatch.setattr(export, "open_speakers", lambda *_: speakers(1000))
    assemble(tmp_path / "base", ("speechsplit",))
    names = load_bundle(tmp_path / "base").speakers.names
    assert len(names) == export.MAP_SPEAKERS and (names[0], names[-1]) == ("s0", "s999")

    def missing(*_):
        raise DataError("There is no dataset.")

    monkeypatch.setattr(export, "open_speakers", missing)
    assemble(tmp_path / "made", ("codegan",), base=tmp_path / "base")
    assert load_bundle(tmp_path / "made").speakers.names == names
    assemble(tmp_path / "bare", ("speechsplit",))
    assert load_bundle(tmp_path / "bare").speakers is None


def test_the_better_vocoder_is_the_default(tmp_path):
    description = assemble(tmp_path / "b", ("speechsplit", "waveglow"), datasets=("acted",))
    errors = description["evaluation"]["copy_synthesis_mel_l1"]
    assert set(errors) == {"griffin-lim", "waveglow"}
    assert errors["griffin-lim"] < errors["waveglow"]  # whose parameters are random
    assert description["default_vocoder"] == "griffin-lim"


def test_trainings_that_do_not_belong_together(tmp_path, monkeypatch):
    monkeypatch.setitem(CONFIGS, "codegan", CONFIGS["codegan"] | {"code_channels": 12})
    with pytest.raises(ConfigError, match="of 12 channels, this SpeechSplit makes 10"):
        assemble(tmp_path / "b", ("speechsplit", "codegan"))
    assert not (tmp_path / "b").exists()


def test_a_workdir_of_another_system(tmp_path):
    with pytest.raises(ConfigError, match="runs/waveglow holds a training of waveglow; give one of codegan"):
        export.export_bundle({"codegan": "runs/waveglow"}, tmp_path / "b")


def test_test_recordings_with_other_settings(tmp_path, monkeypatch):
    settings = {"acted": AudioConfig(gain=0.5)}
    monkeypatch.setattr(export, "audio_config", lambda _, names: settings.get(",".join(names), AudioConfig()))
    with pytest.raises(DataError, match="have other audio settings than the trainings"):
        assemble(tmp_path / "b", ("speechsplit", "waveglow"), datasets=("acted",))


def test_a_base_gives_what_no_training_does(tmp_path):
    export.export_bundle({name: f"runs/{name}" for name in ("speechsplit", "codegan")}, tmp_path / "base")
    made = export.export_bundle(
        {"prosody": "runs/prosody"}, tmp_path / "made", base=tmp_path / "base", rendering="source"
    )
    bundle = load_bundle(tmp_path / "made")
    assert bundle.default_rendering == "source" and bundle.emotions == EMOTIONS and bundle.has("codegan")
    params = [each.network("speechsplit").params for each in (load_bundle(tmp_path / "base"), bundle)]
    np.testing.assert_array_equal(*(each["decoder"]["projection"]["bias"] for each in params))
    entries = {entry["name"]: entry["networks"] for entry in made["data"]}
    assert entries == {"acted": ["codegan", "prosody", "speechsplit"], "read": ["speechsplit"]}


def test_one_network_knows_more_emotions(tmp_path, monkeypatch):
    base, made = tmp_path / "base", tmp_path / "made"
    export.export_bundle({"speechsplit": "runs/speechsplit", "codegan": "runs/codegan"}, base)
    load, more = start.load_for_inference, [*EMOTIONS, "bored"]

    def with_more(workdir, checkpoint):
        run = load(workdir, checkpoint)
        config = {**config_of("prosody"), "emotions": len(more)}
        shapes = build_network("prosody", config).shapes()
        params = {"prosody": jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes)}
        return dataclasses.replace(
            run, config={**run.config, "options": {"emotions": more}}, networks={"prosody": config}, params=params
        )

    monkeypatch.setattr(start, "load_for_inference", with_more)
    export.export_bundle({"prosody": "runs/prosody"}, made, base=base, rendering="source")
    bundle = load_bundle(made)
    assert bundle.emotions == bundle.emotions_of("prosody") == tuple(more)
    assert bundle.emotions_of("codegan") == EMOTIONS and bundle.emotions_of("waveglow") == ()
    ConversionOptions("bored").check(bundle)
    with pytest.raises(BundleError, match=f"'bored' by codegan; choose one of {', '.join(EMOTIONS)}"):
        ConversionOptions("bored", rendering="decoder").check(bundle)
    converter = Converter(bundle)
    sound = tone(1.0)
    assert len(converter.convert(sound, 16000, emotion="happy", rendering="decoder").audio) == len(sound)
    assert np.isfinite(converter.convert(sound, 16000, emotion="bored").audio).all()
    # What only the replaced network knew is gone with it.
    monkeypatch.setattr(start, "load_for_inference", load)
    export.export_bundle({"prosody": "runs/prosody"}, tmp_path / "again", base=made)
    assert load_bundle(tmp_path / "again").emotions == EMOTIONS


def test_a_codegan_stays_valid_while_its_encoders_do(tmp_path, monkeypatch):
    load, origin = start.load_for_inference, tmp_path / "origin"
    origin.mkdir()
    changed = {"part": "decoder"}

    def with_origin(workdir, checkpoint):
        run = load("runs/speechsplit" if workdir == str(origin) else workdir, checkpoint)
        if run.system == "codegan":
            return dataclasses.replace(
                run, config={**run.config, "options": {**run.config["options"], "speechsplit": str(origin)}}
            )
        if run.system == "speechsplit" and workdir != str(origin):
            params = run.params["speechsplit"]
            other = jax.tree.map(lambda leaf: leaf + 1, params[changed["part"]])
            return dataclasses.replace(run, params={"speechsplit": {**params, changed["part"]: other}})
        return run

    monkeypatch.setattr(start, "load_for_inference", with_origin)
    assemble(tmp_path / "decoder", ("speechsplit", "codegan"))
    changed["part"] = "rhythm"
    with pytest.raises(ConfigError, match="CodeGAN was trained on the codes of .*origin; give"):
        assemble(tmp_path / "rhythm", ("speechsplit", "codegan"))


def test_a_codegan_of_a_bundles_codes_belongs_to_its_encoders(tmp_path, monkeypatch):
    load, origin = start.load_for_inference, tmp_path / "origin"
    assemble(origin, ("speechsplit", "codegan"))

    def of_the_bundle(workdir, checkpoint):
        run = load(workdir, checkpoint)
        if run.system == "codegan":
            options = {**run.config["options"], "speechsplit": str(origin)}
            return dataclasses.replace(run, config={**run.config, "options": options})
        return dataclasses.replace(run, params=jax.tree.map(lambda leaf: leaf + 1, run.params))

    monkeypatch.setattr(start, "load_for_inference", of_the_bundle)
    export.export_bundle({"codegan": "runs/codegan"}, tmp_path / "again", base=origin)
    with pytest.raises(ConfigError, match="CodeGAN was trained on the codes of .*origin; give that bundle as --base"):
        assemble(tmp_path / "other", ("speechsplit", "codegan"))


def test_emotions_that_differ(tmp_path, monkeypatch):
    export.export_bundle({"speechsplit": "runs/speechsplit", "codegan": "runs/codegan"}, tmp_path / "base")
    load = start.load_for_inference

    def with_others(workdir, checkpoint):
        run = load(workdir, checkpoint)
        return dataclasses.replace(run, config={**run.config, "options": {"emotions": ["sad", "happy", "neutral"]}})

    monkeypatch.setattr(start, "load_for_inference", with_others)
    with pytest.raises(ConfigError, match="one list must begin with the other"):
        export.export_bundle({"prosody": "runs/prosody"}, tmp_path / "made", base=tmp_path / "base")

"""Trainings of the studio: real processes on a tiny corpus, and what the page is given of them."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from etils import epath
from support.buzzers import prepare_buzzers
from support.tiny_systems import CONFIGS, QUICK_COMPILATION
from support.tiny_voices import write_voices
from tensorboardX.summary import audio, image, scalar

from evc_jax.errors import ConfigError, EvcError, TrainingError
from evc_jax.pretrained.bundle import load_bundle
from evc_jax.studio.training_samples import SampleReader
from evc_jax.studio.training_views import losses_html, metric_curves, table_html
from evc_jax.studio.trainings import Trainings, setting_words
from evc_jax.training.metrics_writer import EventFile
from evc_jax.training.run_process import PROCESS_FILE, note_process, noted_process, running_process

ROOT = Path(__file__).resolve().parents[2]
OFTEN = [f"--config.{key}_every=1" for key in ("log", "validate")]
LIMIT_S = 120


@pytest.fixture
def trainings(tmp_path, monkeypatch):
    """A studio's folders, with a dataset of speakers that VoiceGAN trains on."""
    monkeypatch.chdir(ROOT)  # the processes import the package from there
    for name, value in {**QUICK_COMPILATION, "XLA_FLAGS": ""}.items():
        monkeypatch.setenv(name, value)
    return Trainings(write_voices(tmp_path / "data"), tmp_path / "work" / "runs", CONFIGS)


def wait_until(holds):
    end_s = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < end_s
        time.sleep(0.05)


def test_a_training_of_the_command_line_is_watched_stopped_resumed_and_bundled(tmp_path, tiny_bundle, trainings):
    trainings = Trainings(prepare_buzzers(tmp_path), tmp_path / "runs", CONFIGS)
    assert trainings.datasets() == ["ravdess"] and trainings.runs() == {}
    data = [f"--config.data.data_dir={trainings.data_dir}", "--config.data.datasets=ravdess", "--config.batch_size=4"]
    command = [sys.executable, "scripts/train.py", "--config=configs/voicegan.py:tiny", *data, *OFTEN]
    workdir = f"--workdir={trainings.runs_dir / 'voices'}"
    process = subprocess.Popen([*command, workdir, "--config.steps=1000000"], stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: process.poll() is not None or [run for run in trainings.runs().values() if run.step > 3])
        run = trainings.run("voices")
        assert (run.system, run.datasets, run.total, run.state) == (
            "voicegan",
            ("ravdess",),
            "1000000 steps",
            "running",
        )
        assert run.process == process.pid and run.log(5) == ""
        with pytest.raises(ConfigError, match="The training voices runs already"):
            trainings.resume("voices")
        assert trainings.stop("voices", LIMIT_S) and process.wait(LIMIT_S) == 0
    finally:
        process.kill()
        process.wait()
    stopped_at = run.step
    assert run.state == "stopped" and {"train", "validation"} == {record["split"] for record in run.metrics()}
    with pytest.raises(ConfigError, match="The training voices does not run"):
        trainings.stop("voices")
    with pytest.raises(ConfigError, match="config has no key 'stepz'; name one of steps"):
        trainings.resume("voices", ["--config.stepz=3"])
    trainings.resume("voices", [f"--config.steps={stopped_at + 3}"])
    assert run.state == "running"
    wait_until(lambda: run.process is None)
    run = trainings.run("voices")
    assert run.state == "finished" and run.step == stopped_at + 3, run.log(20)
    assert f"resumed voicegan from step {stopped_at} of runs/voices" in trainings.without_paths(run.log(99))
    assert not (run.path / PROCESS_FILE).exists()
    with pytest.raises(ConfigError, match="The training voices is finished; give it more steps"):
        trainings.resume("voices")
    _bundle(trainings, tiny_bundle)


def _bundle(trainings, base):
    with pytest.raises(ConfigError, match="A bundle needs a SpeechSplit"):
        trainings.bundle("mine", {"voicegan": "voices"})
    with pytest.raises(ConfigError, match=r"^runs/voices holds a training of voicegan; give one of prosody\.$"):
        trainings.bundle("mine", {"prosody": "voices"}, base=base)
    with pytest.raises(ConfigError, match="There is a 'voices' already; give another name"):
        trainings.bundle("voices", {"voicegan": "voices"}, base=base)
    trainings.bundle("mine", {"voicegan": "voices"}, base=base)
    bundle = load_bundle(trainings.runs_dir / "mine")
    assert bundle.description["networks"]["voicegan"]["steps"] == trainings.run("voices").step and bundle.has("codegan")
    assert list(trainings.runs()) == ["voices"]


def test_a_training_that_cannot_begin_shows_its_sentence(trainings):
    trainings.start("bad", "voicegan.py:tiny", ["voices"], ["--config.best_metric=beauty", "--config.steps=2"])
    run = trainings.run("bad")
    assert run.state == "running" and (run.system, run.total) == ("voicegan", "2 steps")
    wait_until(lambda: run.process is None)
    assert run.state == "failed"
    assert run.log(1).startswith("evc train: config.best_metric is 'beauty'; expected one of")
    assert "<td>failed</td>" in table_html([run])


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "../a", "a\\b", "-a", "a b", "a\0", "x" * 65])
def test_a_name_that_could_leave_the_folder_is_refused(name, trainings):
    with pytest.raises(ConfigError, match="The name is .*; expected up to 64 letters"):
        trainings.start(name, "voicegan.py:tiny", ["voices"])
    for use in (trainings.run, trainings.stop, trainings.resume):
        with pytest.raises(ConfigError, match="There is no training"):
            use(name)
    assert not trainings.runs_dir.exists()


@pytest.mark.parametrize(
    "config, datasets, words, sentence",
    [
        ("none.py:tiny", ["voices"], [], "There is no config 'none.py:tiny'; choose one of the list."),
        ("../configs/voicegan.py:tiny", ["voices"], [], "There is no config '../configs/voicegan.py:tiny'"),
        ("voicegan.py:tiny", [], [], "The datasets are none; choose prepared ones of the list."),
        ("voicegan.py:tiny", ["voices", "../x"], [], "The datasets are ../x; choose prepared ones"),
        ("voicegan.py:tiny", ["voices"], ["--config.bach=3"], "The config has no key 'bach'; name one of batch_size."),
        ("voicegan.py:tiny", ["voices"], ["--config.batch_size=0"], "batch_size is 0; expected at least 1."),
        ("voicegan.py:tiny", ["voices"], ["--workdir=x"], "The argument '--workdir=x' is unexpected"),
        ("voicegan.py:tiny", ["voices"], ["--config.seed", "--verbosity=info"], "config.seed is given without a value"),
        (
            "voicegan.py:tiny",
            ["voices"],
            ["--config.init_from=/etc"],
            "config.init_from is '/etc'; expected 'embedded'",
        ),
        (
            "codegan.py:tiny",
            ["voices"],
            [],
            "or the name of a training or bundle in runs: --config.options.speechsplit=",
        ),
    ],
)
def test_a_wrong_setting_is_one_sentence_and_starts_nothing(config, datasets, words, sentence, trainings):
    with pytest.raises(EvcError) as raised:
        trainings.start("run", config, datasets, words)
    assert sentence in str(raised.value)
    assert not trainings.runs_dir.exists()


def test_settings_are_words_that_no_shell_reads():
    assert setting_words("--config.a='x y' $(id) ; #c") == ["--config.a=x y", "$(id)", ";", "#c"]
    with pytest.raises(ConfigError, match="No closing quotation"):
        setting_words("--config.a='x")
    with pytest.raises(ConfigError, match="The datasets are chosen in their list"):
        setting_words("--config.data.data_dir /")


def test_a_speechsplit_is_named_like_its_run(trainings, monkeypatch):
    started = []
    monkeypatch.setattr(trainings, "_launch", started.append)
    trainings.start("ss", "speechsplit.py:tiny", ["voices"])
    for name in ("ss", "runs/ss", str(trainings.runs_dir / "ss")):
        run = f"codegan{len(started)}"
        trainings.start(run, "codegan.py:tiny", ["voices"], [f"--config.options.speechsplit={name}"])
        assert trainings.run(run).config["options"]["speechsplit"] == str(trainings.runs_dir / "ss")


def test_a_process_is_known_by_its_start_not_by_its_id_alone(tmp_path):
    child = subprocess.Popen(["sleep", "60"])
    note_process(tmp_path, child.pid)
    assert running_process(tmp_path) == child.pid
    with pytest.raises(TrainingError, match=f"Process {child.pid} trains into .* already"), noted_process(tmp_path):
        pass
    noted = json.loads((tmp_path / PROCESS_FILE).read_text())
    child.kill()
    wait_until(lambda: running_process(tmp_path) is None)  # although nobody has waited for it
    child.wait()
    assert running_process(tmp_path) is None
    (tmp_path / PROCESS_FILE).write_text(json.dumps({**noted, "pid": os.getpid()}))
    assert running_process(tmp_path) is None
    for damaged in ("", "[]", "{}", '{"pid": "x", "started": "1"}'):
        (tmp_path / PROCESS_FILE).write_text(damaged)
        assert running_process(tmp_path) is None
    with noted_process(tmp_path):
        assert running_process(tmp_path) == os.getpid()
    assert not (tmp_path / PROCESS_FILE).exists()


def test_a_checkout_without_configs_and_a_folder_without_permission(tmp_path):
    with pytest.raises(ConfigError, match="There are no configs in the folder that --configs names"):
        _ = Trainings(tmp_path, tmp_path, tmp_path / "none").configs
    assert "waveglow.py:light" in Trainings(tmp_path, tmp_path).configs
    (tmp_path / "file").write_text("")
    (tmp_path / "data").mkdir()
    data = write_voices(tmp_path / "data")
    with pytest.raises(TrainingError, match=r"^runs/a cannot be used"):
        Trainings(data, tmp_path / "file" / "runs", CONFIGS).start("a", "voicegan.py:tiny", ["voices"])


def test_samples_are_the_newest_of_a_file_that_grows(tmp_path):
    reader = SampleReader(tmp_path)
    assert reader.read() == []
    picture, sound = np.zeros((4, 4, 3), np.uint8), np.zeros(80, np.float32)
    events = EventFile(epath.Path(tmp_path) / "tensorboard", 1)
    events.add(scalar("train/loss", 1.0), 1)
    events.add(image("a/mel", picture, dataformats="HWC"), 1)
    events.flush()
    assert [(sample.tag, sample.step, sample.suffix) for sample in reader.read()] == [("a/mel", 1, ".png")]
    events.add(image("a/mel", picture + 9, dataformats="HWC"), 2)
    events.add(audio("a/sound", sound, 16000), 2)
    events.close()
    file = next((tmp_path / "tensorboard").iterdir())
    whole = file.read_bytes()
    file.write_bytes(whole[:-10])  # as between two writes
    assert [(sample.tag, sample.step) for sample in reader.read()] == [("a/mel", 2)]
    file.write_bytes(whole)
    newest = reader.read()
    assert [(sample.tag, sample.step) for sample in newest] == [("a/mel", 2), ("a/sound", 2)]
    assert newest[0].data.startswith(b"\x89PNG") and newest[1].data.startswith(b"RIFF")


def test_curves_leave_out_the_machine_and_what_is_no_number():
    records = [
        {"split": "train", "step": 1, "accuracy": 0.5, "loss": 100.0, "steps_per_s": 3.0},
        {"split": "train", "step": 2, "accuracy": 0.6, "loss": float("nan")},
        {"split": "validation", "step": 2, "loss": 1.0},
    ]
    curves = metric_curves(records)
    assert list(curves) == ["loss", "accuracy"]
    assert curves["loss"] == {"train": ([1], [100.0]), "validation": ([2], [1.0])}
    assert "loss validation 1 at step 2" in losses_html(records) and losses_html([]) == ""


def test_the_tab_says_what_is_missing(tmp_path):
    gr = pytest.importorskip("gradio")
    from evc_jax.studio import train_tab

    settings = SimpleNamespace(data_dir="none", runs_dir=str(tmp_path / "runs"), configs_dir=str(tmp_path))
    with gr.Blocks() as page, gr.Tabs(), gr.Tab("Train"):
        train_tab.build(SimpleNamespace(settings=settings, outputs=None))
    shown = str(page.get_config_file()["components"])
    assert "evc prepare ravdess FOLDER" in shown and "There are no configs in the folder that --configs names" in shown
    assert "There is no training yet." in shown and str(tmp_path) not in shown
    named = [each["props"] for each in page.get_config_file()["components"] if each["type"] in ("dropdown", "textbox")]
    assert all(props["label"] for props in named)

"""A run on an accelerator, rehearsed: its parts, its time, and what it leaves."""

import json
import sys
import time
from pathlib import Path

import pytest
from support.scripts import load_script

from benchmarks.accelerator import speed
from benchmarks.accelerator.report import report
from evc_jax.cli.commands import main as evc
from evc_jax.data.prepare.builder import prepare
from evc_jax.pretrained.bundle import load_bundle
from evc_jax.pretrained.description import NETWORKS

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "accelerator_run.py"
# What the fake parts do: one never ends and leaves a process behind, one breaks, one is well.
FAKE_PARTS = {
    "machine": "import subprocess, time; store('before', 1); subprocess.Popen(['sleep', '1000']); time.sleep(1000)",
    "correctness": "store('found', 2); raise RuntimeError('broken')",
    "training": "store('seconds', float(arguments['seconds']))",
}
FAKE = """
import json, sys
arguments = dict(word.removeprefix("--").split("=", 1) for word in sys.argv[1:] if "=" in word)
def store(key, value):
    with open(arguments["results"], "w") as file:
        json.dump({key: value}, file)
"""


@pytest.fixture(scope="module")
def script():
    return load_script("scripts/accelerator_run.py")


@pytest.fixture
def datasets(tmp_path):
    (tmp_path / "datasets" / "speech").mkdir(parents=True)
    return tmp_path / "datasets"


def _run(script, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
    return script.main()


def test_a_part_that_hangs_or_breaks_ends_no_other(script, monkeypatch, datasets, tmp_path, capsys):
    package = tmp_path / "path" / "fake_parts"
    package.mkdir(parents=True)
    for name, code in FAKE_PARTS.items():
        (package / f"{name}.py").write_text(FAKE + code)
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    monkeypatch.setattr(script.Run, "package", "fake_parts")
    begin_s = time.monotonic()
    # A folder for work that was used before, from another folder than the script's.
    monkeypatch.chdir(tmp_path)
    (tmp_path / "work" / "parts").mkdir(parents=True)
    (tmp_path / "work" / "parts" / "machine.json").write_text('{"of an earlier run": 1}')
    parts = ("--parts", ",".join(FAKE_PARTS), "--work", "work")
    assert _run(script, monkeypatch, "--minutes", "0.5", "--datasets", datasets, "--out", tmp_path / "out", *parts) == 1
    assert time.monotonic() - begin_s < 30
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["machine"] == {"before": 1, "ended": "ran out of time"}
    assert results["correctness"] == {"found": 2, "ended": "ended with 1, see log.txt"}
    # Training has what the others left.
    assert 15 < results["training"]["seconds"] < 28 and "ended" not in results["training"]
    assert "RuntimeError: broken" in (tmp_path / "out" / "log.txt").read_text()
    assert "This part ran out of time" in capsys.readouterr().out


def test_a_run_that_is_stopped_leaves_what_its_part_had_found(script, monkeypatch, datasets, tmp_path):
    def stopped(run, name, file, seconds):
        file.write_text('{"found": 1}')
        raise SystemExit(script.TERMINATED)

    monkeypatch.setattr(script.Run, "_process", stopped)
    with pytest.raises(SystemExit):
        _run(script, monkeypatch, "--minutes", "1", "--datasets", datasets, "--out", tmp_path / "out")
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results == {"machine": {"found": 1, "ended": "was stopped"}}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("--parts", "machine,coffee"), "--parts has coffee; expected some of machine, correctness, speed, training"),
        (("--minutes", "0"), "--minutes is 0; expected more than 0"),
        (("--datasets", "nowhere"), "--datasets nowhere holds no prepared dataset; make one with `evc prepare`"),
        (("--golden", "nowhere"), "--golden nowhere is no folder"),
        (("--out", str(SCRIPT)), "cannot be made"),
    ],
)
def test_what_cannot_be_is_one_sentence(script, monkeypatch, datasets, tmp_path, capsys, change, sentence):
    arguments = ("--minutes", "1", "--datasets", datasets, "--out", tmp_path / "out")
    assert _run(script, monkeypatch, *arguments, *change) == 2
    assert sentence in capsys.readouterr().err


def test_the_page_sets_what_was_measured_beside_what_was_expected():
    contenders = [
        {"name": "evc_jax", "median_s": 0.08, "original": False, "times_faster": 1.5},
        {"name": "evc_jax, 8 steps a call", "median_s": 0.02, "original": False, "times_faster": 6.0},
        {"name": "PyTorch", "median_s": 0.12, "original": True, "times_faster": None},
    ]
    for contender in contenders:
        contender.update(quartiles_s=[0.1, 0.1], per_s=1.0, compile_s=1.0)
    work = {"subject": "VoiceGAN", "unit": "steps", "amount": 8, "gflop": 20.0, "dtype": "float32"}
    page = report(
        {
            "machine": {
                "machine": {"device": "X"},
                "float32_flops_per_s": 4e12,
                "expected/VoiceGAN step": {"expected_s": 1e-3},
            },
            "correctness": {"a": {"passed": True, "difference": 1e-5}, "b": {"passed": False, "largest": "outputs 2"}},
            "speed": {
                "VoiceGAN step": {**work, "contenders": contenders},
                "LSTM": {"failed": "E: no"},
                "EVC_LSTM": "scan",
            },
            "training": {"variants": {"voicegan": "small"}, "voicegan": {"steps": [70], "exit code": 0}},
            "bundle": {"bundle": {"networks": ["voicegan"], "pieces": {"x": 1}}, "trace": {"failed": "E: none"}},
        }
    )
    (row,) = [line for line in page.splitlines() if line.startswith("| VoiceGAN step")]
    assert [cell.strip() for cell in row.strip("|").split("|")] == ["VoiceGAN step", "2.5", "1", "6.00", "1", "25.0%"]
    assert "ok" in page and "DIFFERS" in page and "LSTM: E: no" in page and "trace failed: E: none" in page


@pytest.mark.parametrize(
    ("medians_s", "name"), [({"scan": 2, "cudnn": 1}, "cudnn"), ({"scan": 1}, "scan"), ({}, "scan")]
)
def test_the_faster_lstm(medians_s, name):
    contenders = [{"name": key, "median_s": value, "original": False} for key, value in medians_s.items()]
    original = {"name": "torch.nn.LSTM", "median_s": 0.1, "original": True}
    assert speed.faster_lstm({"contenders": [*contenders, original]} if contenders else {"failed": "x"}) == name


@pytest.mark.slow
@pytest.mark.release
def test_the_rehearsal_trains_a_bundle(script, monkeypatch, data_dir, tmp_path):
    corpus = tmp_path / "ravdess"
    for actor in range(1, 7):
        files = sorted((data_dir / "ravdess" / f"Actor_{actor:02d}").glob("*-01-01-01-??.flac"))
        (corpus / f"Actor_{actor:02d}").mkdir(parents=True)
        for file in files:
            (corpus / file.parent.name / file.name).symlink_to(file)
    prepare("ravdess", corpus, tmp_path / "datasets", progress=False)
    monkeypatch.setenv("XLA_FLAGS", "")  # a single device
    arguments = ("--rehearsal", "--minutes", "20", "--datasets", tmp_path / "datasets", "--out", tmp_path / "out")
    code = _run(script, monkeypatch, *arguments)
    page, log = ((tmp_path / "out" / name).read_text() for name in ("report.md", "log.txt"))
    assert code == 0, page + log
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert all(value["passed"] for value in results["correctness"].values()), page
    assert all(results["training"][name]["exit code"] == 0 for name in NETWORKS), page
    assert "failed" not in page, page
    assert len(list((tmp_path / "out").iterdir())) <= 8  # as many as travel back
    assert evc(["bundle", "join", str(tmp_path / "out"), "-o", str(tmp_path / "joined")]) == 0
    assert all(load_bundle(tmp_path / "joined").has(name) for name in NETWORKS)

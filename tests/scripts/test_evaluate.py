"""The evaluation program: what cannot be measured ends with one sentence and exit code 2."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from support.tiny_bundles import tone

PATH = Path(__file__).resolve().parents[2] / "scripts" / "evaluate.py"
RECORD = {
    "audio": (tone(0.5) * 20_000).astype(np.int16),
    "f0_hz": np.full(30, 140, np.float32),
    "speaker": "a",
    "emotion": "happy",
    "speaker_embedding": np.full(256, 1 / 16, np.float32),
    "text_id": "x",
}


@pytest.fixture
def evaluate(tiny_bundle, monkeypatch, tmp_path):
    """Runs the program on records; gives its exit code."""
    spec = importlib.util.spec_from_file_location("evaluate", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setenv("EVC_CACHE_DIR", str(tmp_path))

    def run(records, *options):
        monkeypatch.setattr(module, "open_split", lambda *_: records)
        return module.main(["--datasets", "acted", "--bundle", str(tiny_bundle), *options])

    return run


@pytest.mark.parametrize("report", ["emotions", "transfer", "controls", "vocoders"])
def test_an_empty_split(report, evaluate, capsys):
    assert evaluate([], "--report", report) == 2
    assert capsys.readouterr().err == "evaluate: The test split of acted is empty; name other datasets.\n"


@pytest.mark.parametrize(
    ("report", "words"), [("emotions", "No recording is neutral"), ("transfer", "No sentence is recorded by two")]
)
def test_data_that_a_report_cannot_use(report, words, evaluate, capsys):
    assert evaluate([RECORD], "--report", report) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"evaluate: {words}") and error.count("\n") == 1


def test_a_report_is_printed(evaluate, capsys):
    assert evaluate([RECORD], "--report", "vocoders") == 0
    assert "Copy-synthesis of 1 recordings" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--pairs", "--recordings"])
def test_numbers_start_at_one(option, evaluate, capsys):
    with pytest.raises(SystemExit, match="2"):
        evaluate([RECORD], option, "0")
    assert "'0' is no number from 1 on" in capsys.readouterr().err

"""Benchmarks still work: each runs at its smallest, and the harness times, compares and reports as it says."""

import argparse
import importlib
import json
import os
import re
import sys
from pathlib import Path

import jax
import pytest
from support.markers import in_ci

import benchmarks.__main__ as everything
from benchmarks import cold_start, harness, originals
from benchmarks.harness import Contender, Timing, Work
from evc_jax.errors import ConfigError, EvcError

# Folder of checkouts of the PyTorch originals, if there is one.
REFERENCES = os.environ.get("EVC_REFERENCES")
IN_PROCESS = [name for name in everything.BENCHMARKS if name not in ("cold_start", "growth", "serving")]


@pytest.fixture(autouse=True)
def _settings(monkeypatch):
    """Other processes have one device each; what is compiled here is compiled quickly, and only here."""
    jax.devices()  # this process has its eight before the flags go
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def _measure(name, *options):
    module = importlib.import_module(f"benchmarks.{name}")
    arguments = module.options().parse_args(["--quick", "--seconds", "0", *options])
    harness.compile_quickly()
    return module.measure(arguments)


def _assert_complete(results):
    """What every benchmark promises of its JSON."""
    assert results == json.loads(json.dumps(results)) and results
    for each in results:
        assert each["subject"] and each["unit"] and each["amount"] > 0 and each["contenders"]
        for contender in each["contenders"]:
            assert contender["median_s"] > 0 and contender["per_s"] > 0 and contender["compile_s"] >= 0
            assert len(contender["quartiles_s"]) == 2 and contender["repetitions"] >= 1
    assert all(each["subject"] in harness.table(results) for each in results)


@pytest.mark.slow
@pytest.mark.parametrize("name", in_ci(("features", "speechsplit_training"), IN_PROCESS))
def test_a_benchmark_runs(name):
    if name == "gan_training":
        pytest.importorskip("torch")  # or there would be no original
    results = _measure(name)
    _assert_complete(results)
    names = {contender["name"] for each in results for contender in each["contenders"]}
    if name == "gan_training":
        assert names == {"evc_jax", "PyTorch"}
        assert all(each["contenders"][1]["original"] and each["contenders"][0]["times_faster"] for each in results)
    if name in ("waveglow_synthesis", "waveglow_training", "speechsplit_training", "features"):
        assert names == {"evc_jax"}


@pytest.mark.slow
@pytest.mark.release
@pytest.mark.skipif(not REFERENCES, reason="set EVC_REFERENCES to a folder with checkouts of the PyTorch originals")
@pytest.mark.parametrize("name", ["waveglow_synthesis", "waveglow_training", "speechsplit_training"])
def test_a_benchmark_runs_beside_the_original(name):
    pytest.importorskip("torch")
    results = _measure(name, "--reference", REFERENCES)
    _assert_complete(results)
    for each in results:
        ours, original = each["contenders"]
        assert original["original"] and ours["times_faster"] > 0 and original["times_faster"] is None


@pytest.mark.slow
@pytest.mark.release
def test_cold_start_runs(tmp_path):
    _assert_complete(_measure("cold_start"))
    with pytest.raises(EvcError, match="invalid choice: 'sing'"):
        cold_start.evc(["sing"], tmp_path)


@pytest.mark.slow
@pytest.mark.release
def test_growth_runs(tmp_path):
    code = everything.run("growth", _options("--quick", "--seconds", "0", "--json", str(tmp_path)))
    assert code == 0
    for curve in json.loads((tmp_path / "growth.json").read_text())["curves"].values():
        assert curve["points"]


def test_contenders_take_turns_after_preparing_and_warming_up():
    log = []

    def contender(name):
        def prepare():
            log.append(f"prepare {name}")
            return lambda: log.append(name)

        return Contender(name, prepare)

    timings = harness.compare([contender("a"), contender("b")], seconds=0, min_rounds=3)
    assert log == ["prepare a", "a", "prepare b", "b", *"ab" * 3]
    assert [len(timing.seconds) for timing in timings] == [3, 3]


def test_time_is_used_up_in_whole_rounds():
    timings = harness.compare([Contender(name, lambda: lambda: None) for name in "ab"], seconds=0.05)
    first, second = (len(timing.seconds) for timing in timings)
    assert first == second > harness.MIN_ROUNDS


def _timings():
    ours, theirs = Timing("ours", False, 1.5, 0.7, [1.0, 2.0, 4.0]), Timing("theirs", True, 0.5, 0.6, [3.0, 4.0, 20.0])
    return ours, theirs


def test_the_ratio_is_the_median_of_the_rounds_ratios():
    ours, theirs = _timings()
    assert harness.ratio_to_original(ours, [ours, theirs]) == 3.0  # of 3, 2 and 5; the medians' would be 2
    assert harness.ratio_to_original(theirs, [ours, theirs]) is None
    assert harness.ratio_to_original(ours, [ours]) is None


def test_results_have_medians_and_rates():
    made = harness.result(Work("sums", 10, "numbers", {"dtype": "float32"}), _timings())
    ours, theirs = made["contenders"]
    assert made["subject"] == "sums" and made["dtype"] == "float32"
    assert ours["median_s"] == 2.0 and ours["per_s"] == 5.0 and ours["quartiles_s"] == [1.5, 3.0]
    assert ours["compile_s"] == 1.5 and ours["first_call_s"] == 0.7 and ours["repetitions"] == 3
    assert ours["times_faster"] == 3.0 and theirs["times_faster"] is None and theirs["original"]
    _, head, _, first, second, *_ = harness.table([made]).splitlines()
    assert head.split() == ["|", "|", "median", "|", "quartiles", "|", "numbers/s", "|", "compile", "|", "faster", "|"]
    assert first.split() == [
        "|",
        "ours",
        "|",
        "2",
        "s",
        "|",
        "1.5",
        "s",
        "to",
        "3",
        "s",
        "|",
        "5",
        "|",
        "1.5",
        "s",
        "|",
        "3.00",
        "x",
        "|",
    ]
    assert second.split()[:5] == ["|", "theirs", "|", "4", "s"] and second.split()[-2:] == ["|", "|"]


def _program(monkeypatch, measure, *options):
    monkeypatch.setattr(sys, "argv", ["sums.py", *options])
    return harness.run(measure, harness.parser("Sums."))


def test_a_program_prints_a_table_and_json_and_writes_it(monkeypatch, capsys, tmp_path):
    results = [harness.result(Work("sums", 10, "numbers"), _timings())]
    file = tmp_path / "sums.json"
    file.write_text("old")
    assert _program(monkeypatch, lambda _: results, "--json", str(file)) == 0
    *table, last = capsys.readouterr().out.splitlines()
    assert json.loads(last) == json.loads(file.read_text()) and "sums" in table
    assert json.loads(last)["results"] == results and json.loads(last)["versions"]["jax"]
    assert list(tmp_path.iterdir()) == [file]


def test_json_that_cannot_be_written_leaves_the_old_one(tmp_path):
    file = tmp_path / "sums.json"
    file.write_text("old")
    with pytest.raises(TypeError, match="not JSON serializable"):
        harness.write_json(file, {"value": object()})
    assert file.read_text() == "old" and list(tmp_path.iterdir()) == [file]


def test_quick_means_no_time_beyond_the_rounds(monkeypatch):
    seen = []
    _program(monkeypatch, lambda arguments: seen.append(arguments.seconds) or [], "--quick", "--seconds", "9")
    assert seen == [0.0]


@pytest.mark.parametrize("original", [originals.WAVEGLOW, originals.SPEECHSPLIT])
def test_a_folder_without_the_original_is_refused(original, monkeypatch, capsys, tmp_path):
    file, address = original
    message = f"{tmp_path} holds no {file}; give a checkout of {address}, or a folder with one."
    with pytest.raises(ConfigError, match=re.escape(message)):
        originals.find(tmp_path, *original)

    def measure(arguments):
        return originals.find(arguments.reference, *original)

    assert _program(monkeypatch, measure, "--reference", str(tmp_path)) == 2
    printed = capsys.readouterr()
    assert printed.err == f"sums.py: {message}\n" and not printed.out
    (tmp_path / "checkout").mkdir()
    (tmp_path / "checkout" / file).touch()
    assert originals.find(tmp_path, *original) == originals.find(tmp_path / "checkout", *original)


def test_a_gpu_has_the_original_compiled_as_well(monkeypatch):
    assert [each.name for each in originals.contenders("net", lambda compiled: compiled)] == ["net"]
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    plain, compiled = originals.contenders("net", lambda compiled: compiled)
    assert (plain.name, plain.original, plain.prepare()) == ("net", True, False)
    assert (compiled.name, compiled.original, compiled.prepare()) == ("net, torch.compile", False, True)


def test_an_unknown_system_is_refused(monkeypatch, capsys):
    from benchmarks import gan_training, reading

    for module, message in ((gan_training, "--systems has 'talk'"), (reading, "There is no system talk")):
        monkeypatch.setattr(sys, "argv", ["x.py", "--quick", "--systems", "talk"])
        assert harness.run(module.measure, module.options()) == 2
        assert capsys.readouterr().err.startswith(f"x.py: {message}")


def _options(*options):
    return everything.options().parse_args([*options])


def test_options_are_passed_on():
    given = _options("--quick", "--seconds", "2", "--reference", "originals", "--json", "results")
    made = everything.command("lstm", given)
    assert made[1:3] == ["-m", "benchmarks.lstm"]
    passed = importlib.import_module("benchmarks.lstm").options().parse_args(made[3:])
    assert passed.quick and passed.seconds == 2 and passed.reference == Path("originals")
    assert passed.json == Path("results/lstm.json")
    assert everything.command("growth", _options())[1:] == ["-m", "benchmarks.growth"]


def test_all_are_run_and_a_failure_is_told(monkeypatch, capsys, tmp_path):
    ran = []
    monkeypatch.setattr(everything, "run", lambda name, _: ran.append(name) or 2 * (name == "lstm"))
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--json", str(tmp_path / "new")])
    assert everything.main() == 2
    assert ran == list(everything.BENCHMARKS) and (tmp_path / "new").is_dir()
    assert capsys.readouterr().err == "benchmarks: lstm did not end well; what they said is above.\n"
    (tmp_path / "file").touch()
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--json", str(tmp_path / "file")])
    assert everything.main() == 2
    assert "file is no folder and none can be made" in capsys.readouterr().err


def test_none_is_forgotten():
    programs = {path.stem for path in everything.FOLDER.glob("*.py") if "__main__" in path.read_text()}
    assert programs - {"__main__", "step_costs"} == set(everything.BENCHMARKS)
    help_page = everything.options().format_help()
    assert all(name in help_page for name in everything.BENCHMARKS)
    assert isinstance(_options(), argparse.Namespace)

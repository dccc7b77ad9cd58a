"""The load on a server: what clients count is what they sent, and a server that cannot start is one sentence."""

import json
import os
import sys

import pytest

pytest.importorskip("fastapi")

from benchmarks import serving


def test_a_server_under_load(tiny_bundle, tmp_path, monkeypatch, capsys):
    file = tmp_path / "load.json"
    monkeypatch.setattr(sys, "argv", ["x", "--quick", "--bundle", str(tiny_bundle), "--json", str(file)])
    assert serving.main() == 0
    results = json.loads(file.read_text())["results"]
    assert [each["clients"] for each in results] == [1, 2]
    for each in results:
        assert each["answers"] >= each["clients"] and 0 < each["median_s"] <= each["p95_s"]
        assert each["peak_bytes"] > 1e8
    assert serving.table(results) in capsys.readouterr().out


def test_the_server_ends_with_what_uses_it(tiny_bundle):
    arguments = serving.options().parse_args(["--bundle", str(tiny_bundle)])
    with pytest.raises(ZeroDivisionError), serving.server(arguments) as (_, pid):
        1 / 0  # noqa: B018
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_servers_that_do_not_answer(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["x", "--quick", "--bundle", str(tmp_path)])
    assert serving.main() == 2
    assert "is not a bundle" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["x", "--quick", "--url", "http://127.0.0.1:9"])
    assert serving.main() == 2
    assert "refused" in capsys.readouterr().err

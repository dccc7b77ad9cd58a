"""What processes compare before they train together; the processes are threads with a key-value store of their own."""

import concurrent.futures
import json

import pytest
from etils import epath
from support.fake_store import FakeStore
from support.tiny_voices import voices_config, write_voices

from evc_jax.errors import ConfigError
from evc_jax.training import agreement, start_log
from evc_jax.training.processes import Group


def _on_each(check, counts):
    """What `check(group)` raises on each process, None where it raises nothing; `counts` is what each believes."""
    store = FakeStore()

    def run(index):
        try:
            check(Group(index, counts[index], store))
        except ConfigError as error:
            return str(error)

    with concurrent.futures.ThreadPoolExecutor(len(counts)) as pool:
        return list(pool.map(run, range(len(counts))))


@pytest.fixture(scope="module")
def voices(tmp_path_factory):
    return write_voices(tmp_path_factory.mktemp("voices"))


@pytest.mark.parametrize(
    "changes, sentence",
    [
        (
            {"optimizer": {"learning_rate": 0.5}},
            "Process 1 has config.optimizer.learning_rate 0.5 where process 0 has ",
        ),
        ({"steps": 11}, "Process 1 has config.steps 11 where process 0 has 10; start all"),
        ({"steps": 11, "seed": 5}, "Process 1 has config.steps 11 where process 0 has 10 (and 1 more: config.seed)"),
    ],
)
def test_other_settings_are_named_on_every_process(changes, sentence, voices):
    of_each = [agreement.settings(voices_config(voices, **change), 3) for change in ({}, changes, {})]
    raised = _on_each(lambda group: agreement.check_same(group, of_each[group.index]), [3] * 3)
    assert len(set(raised)) == 1 and raised[0].startswith(sentence)


def test_another_number_of_processes_is_named_although_one_never_comes(voices):
    config = voices_config(voices)

    def check(group):
        agreement.check_same(group, agreement.settings(config, group.count))

    (raised,) = set(_on_each(check, [2, 3]))
    assert raised.startswith("Process 1 has number of processes 3 where process 0 has 2; start all processes with")


def test_other_data_and_packages_are_named_but_copies_of_data_may_lie_elsewhere(voices, tmp_path, monkeypatch):
    own = agreement.settings(voices_config(voices), 2)
    copy = write_voices(tmp_path)
    assert agreement.settings(voices_config(copy), 2) == own
    metadata = next(copy.rglob("metadata.json"))
    metadata.write_text(json.dumps({**json.loads(metadata.read_text()), "digest": "other"}))
    monkeypatch.setattr(start_log.metadata, "version", lambda name: "0.1")
    other = agreement.settings(voices_config(copy), 2)
    expected = {"digest of dataset.voices", *(f"version.{name}" for name in start_log.PACKAGES)}
    assert {key for key in own if own[key] != other[key]} == expected


def test_the_work_directory_must_be_one_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(agreement, "VISIBLE_WITHIN_S", 0.2)
    assert _on_each(lambda group: agreement.check_shared(group, epath.Path(tmp_path / "run")), [2, 2]) == [None, None]
    assert not list((tmp_path / "run").iterdir())
    raised = _on_each(
        lambda group: agreement.check_shared(group, epath.Path(tmp_path / str(group.index // 2))), [3] * 3
    )
    assert all("of process 2 is another folder than that of process 0" in sentence for sentence in raised)


def test_what_fails_on_one_process_fails_on_all():
    reasons = ["", "it is cut short"]
    found = {}

    def check(group):
        found[group.index] = agreement.first_failure(group, "step 5", reasons[group.index])

    _on_each(check, [2, 2])
    assert found == dict.fromkeys((0, 1), "process 1: it is cut short")
    assert agreement.first_failure(Group(), "step 5", "it is cut short") == "it is cut short"

"""The end of a process, as the others see it; the processes are threads with a key-value store of their own."""

import time

import pytest
from support.fake_store import FakeStore

from evc_jax.errors import DataError
from evc_jax.training import process_watch
from evc_jax.training.process_watch import LOST, REFUSED, Watch


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(process_watch, "BEAT_S", 0.01)
    monkeypatch.setattr(process_watch, "SUSPECTED_S", 0.1)
    monkeypatch.setattr(process_watch, "LINGER_S", 0.2)


@pytest.fixture
def ended():
    """The exit codes of the watches that `watch` makes, by process."""
    return {}


@pytest.fixture
def watch(ended):
    store = FakeStore()
    return lambda index, timeout_s=30.0: Watch(store, index, 3, timeout_s, lambda code: ended.update({index: code}))


def test_a_silent_process_is_named_and_ends_the_others(watch, ended, capfd):
    own = watch(0, timeout_s=0.5)
    watch(1).look()
    watch(2).finish()
    own.look()
    assert ended == {}
    time.sleep(0.6)
    own.look()
    assert ended == {0: LOST}
    assert "evc train: process 1 is gone (no sign of life for 0 s); start all processes again" in capfd.readouterr().err


@pytest.mark.parametrize(
    "error, code", [(DataError("No data."), REFUSED), (KeyboardInterrupt(), 130), (OSError("x"), 1)]
)
def test_a_process_that_fails_gives_the_others_its_sentence_and_code(error, code, watch, ended, capfd):
    assert watch(2).fail(error) == code
    watch(0).look()
    watch(1).look()
    assert ended == {0: code, 1: code}
    expected = {2: "No data.", 130: "it was interrupted; the same", 1: "OSError: x; see its own output."}[code]
    assert capfd.readouterr().err.count(f"evc train: process 2: {expected}") == 2


def test_an_error_that_another_process_caused_is_reported_as_that(watch, ended, capfd):
    own = watch(0)
    own.start()
    watch(1).finish()
    own.fail(RuntimeError("Connection closed by peer"))
    assert ended[0] == LOST and "evc train: process 2 is gone" in capfd.readouterr().err


def test_a_process_that_finds_the_same_by_itself_is_left_to_end(watch, ended):
    watch(2).fail(DataError("No data."))
    own = watch(1)
    assert own.fail(DataError("No data.")) == REFUSED
    own.look()
    assert ended == {}

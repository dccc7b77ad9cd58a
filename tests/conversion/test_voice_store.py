"""Where named voices lie, and which names they can have."""

import unicodedata

import pytest

from evc_jax.conversion import voice_store
from evc_jax.errors import ConfigError


@pytest.fixture
def home(tmp_path, monkeypatch):
    for variable in ("EVC_VOICES_DIR", "XDG_DATA_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_folder_follows_the_environment(home, monkeypatch):
    assert voice_store.voices_dir() == home / ".local/share/evc_jax/voices"
    monkeypatch.setenv("XDG_DATA_HOME", "relative/is/ignored")
    assert voice_store.voices_dir() == home / ".local/share/evc_jax/voices"
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))
    assert voice_store.voices_dir() == home / "data/evc_jax/voices"
    monkeypatch.setenv("EVC_VOICES_DIR", str(home / "mine"))
    assert voice_store.voices_dir() == home / "mine"


def test_voices_are_found_by_name(home, monkeypatch):
    monkeypatch.setenv("EVC_VOICES_DIR", str(home))
    assert voice_store.names() == {} and voice_store.find("anna") is None
    for name in ("ben", "anna", ".hidden"):
        (home / f"{name}.npy").touch()
    assert list(voice_store.names()) == ["anna", "ben"]
    assert voice_store.find("anna") == home / "anna.npy"
    assert voice_store.find("../anna") is None and voice_store.find("anna.npy") is None


def test_an_option_names_another_folder_and_a_path_wins(home):
    (home / "other").mkdir()
    (home / "other" / "anna.npy").touch()
    assert voice_store.locate("anna", None) == "anna"
    assert voice_store.locate("anna", "other") == "other/anna.npy"
    assert voice_store.locate("ben", "other") == "ben"
    (home / "anna").mkdir()
    assert voice_store.locate("anna", "other") == "anna"
    with pytest.raises(ConfigError, match="There is no folder of voices at nowhere"):
        voice_store.locate("anna", "nowhere")


@pytest.mark.parametrize("name", ["", "a/b", "..", "a b", "-a", "a.wav", "x" * 65, "original", "sampled:male", "a\n"])
def test_names_that_a_voice_cannot_have(name):
    with pytest.raises(ConfigError, match="A voice cannot be named"):
        voice_store.check_name(name)
    assert voice_store.check_name("Änne_2-b") == "Änne_2-b"


@pytest.mark.parametrize("name", ["Jose\u0301", "हिन्दी", "Zoë"])
def test_combining_marks_belong_to_letters_and_either_form_finds_the_voice(home, name):
    stored = voice_store.check_name(name)
    (home / f"{unicodedata.normalize('NFD', stored)}.npy").touch()
    for form in ("NFC", "NFD"):
        assert voice_store.find(unicodedata.normalize(form, name), home) is not None
    assert list(voice_store.names(home)) == [stored]

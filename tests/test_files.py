import os
import stat
import unicodedata
from pathlib import Path

import pytest
from support.tiny_corpora import touch

from evc_jax.errors import ConfigError
from evc_jax.files import (
    RECORDING_SUFFIXES,
    atomic_dir,
    atomic_file,
    existing,
    find_recordings,
    passed_over_lines,
    printable,
    recordings_in,
    valid_text,
)


def names(folder: Path, **depths) -> list[str]:
    return [str(file.relative_to(folder)) for file in find_recordings(folder, **depths).files]


def test_every_suffix_in_any_case_and_at_any_depth(tmp_path):
    touch(tmp_path, *(f"a/b/take{suffix.upper()}" for suffix in RECORDING_SUFFIXES), "1.wav", "._1.wav", "notes.txt")
    assert len(names(tmp_path)) == len(RECORDING_SUFFIXES) + 1
    assert names(tmp_path, max_depth=1) == ["1.wav"]
    assert len(names(tmp_path, depth=3)) == len(RECORDING_SUFFIXES) and names(tmp_path, max_depth=2) == ["1.wav"]


def test_libsndfile_or_ffmpeg_reads_every_suffix():
    soundfile = pytest.importorskip("soundfile")
    formats = {f".{name.lower()}" for name in soundfile.available_formats()}
    others = {".oga": "OGG", ".opus": "OGG", ".aif": "AIFF", ".aifc": "AIFF", ".snd": "AU", ".sph": "NIST"}
    assert set(others.values()) <= set(soundfile.available_formats())
    read = formats | set(others)
    by_ffmpeg = pytest.importorskip("av").formats_available
    names = {".m4b": "m4a", ".m4v": "mov", ".mka": "matroska", ".mkv": "matroska", ".wma": "asf", ".wmv": "asf"}
    names |= {".alac": "m4a", ".ra": "rm", ".spx": "ogg"}
    left = set(RECORDING_SUFFIXES) - read
    assert {names.get(suffix, suffix[1:]) for suffix in left} <= {one for each in by_ffmpeg for one in each.split(",")}


def test_links_are_followed_and_each_file_counts_once(tmp_path):
    touch(tmp_path / "disk", "anna/1.wav", "ben/2.wav")
    root = touch(tmp_path / "root", "own/3.wav")
    (root / "anna").symlink_to(tmp_path / "disk/anna")
    (root / "again").symlink_to(tmp_path / "disk/anna")
    (root / "circle").symlink_to(root)
    (root / "own/circle").symlink_to("../own")
    (root / "2.wav").symlink_to(tmp_path / "disk/ben/2.wav")
    (root / "latest.wav").symlink_to("own/3.wav")
    assert names(root) == ["2.wav", "again/1.wav", "own/3.wav"]
    (tmp_path / "link").symlink_to(root)
    assert recordings_in(tmp_path / "link") == [tmp_path / "link" / name for name in names(root)]


def test_what_is_passed_over_is_counted_and_named(tmp_path):
    touch(tmp_path, "1.wav", *(f"b/{i}.aax" for i in range(5)), "c.M4P")
    (tmp_path / "gone.flac").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.wav")
    found = find_recordings(tmp_path)
    assert [file.name for file in found.files] == ["1.wav"]
    assert passed_over_lines(found.passed_over, tmp_path) == [
        "passed over: 1 (broken link: gone.flac)",
        "passed over: 6 (format that is not read: b/0.aax, b/1.aax, b/2.aax, ...)",
    ]
    with pytest.raises(ConfigError, match=r"holds no recordings \(.wav, .*\); passed over: 5 .*aax.*; give another"):
        recordings_in(tmp_path / "b")


def test_names_that_are_not_utf8(tmp_path):
    one, two = (os.fsdecode(name) for name in (b"\xe9t\xe9.wav", b"\xe8t\xe8.wav"))
    touch(tmp_path, one, two)
    assert len(find_recordings(tmp_path).files) == 2
    assert printable(one) == printable(two) == "\ufffdt\ufffd.wav"
    assert (
        valid_text(one) != valid_text(two) and valid_text(one).startswith(printable(one)) and valid_text(one).encode()
    )
    assert valid_text("étÉ\ufffd") == printable("étÉ\ufffd") == "étÉ\ufffd"


@pytest.mark.parametrize(("written", "asked"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFD", "NFD")])
def test_names_are_compared_after_normalization(tmp_path, written, asked):
    name = "José/été.wav"
    touch(tmp_path, unicodedata.normalize(written, name))
    found = existing(tmp_path / unicodedata.normalize(asked, name))
    assert found.exists() and unicodedata.normalize("NFC", str(found.relative_to(tmp_path))) == name
    assert existing(tmp_path / "José/gone.wav").name == "gone.wav"


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / ("n" * 250)
    with atomic_file(path) as beside:
        beside.write_text("first")
        assert not path.exists()
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
    path.chmod(0o600)
    (tmp_path / "link").symlink_to(path)
    with atomic_file(tmp_path / "link") as beside:
        beside.write_text("second")
    assert path.read_text() == "second" and stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(KeyboardInterrupt), atomic_file(path) as beside:
        beside.write_text("third")
        raise KeyboardInterrupt
    assert path.read_text() == "second" and len(list(tmp_path.iterdir())) == 2


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    with atomic_dir(tmp_path / "a/b") as folder:
        touch(folder, "first")
    with pytest.raises(KeyboardInterrupt), atomic_dir(tmp_path / "a/b") as folder:
        raise KeyboardInterrupt
    assert [file.name for file in (tmp_path / "a/b").iterdir()] == ["first"]
    with atomic_dir(tmp_path / "a/b") as folder:
        touch(folder, "second")
    assert [str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*")] == ["a", "a/b", "a/b/second"]


def test_what_cannot_be_printed_is_replaced():
    assert printable("a\udcffb") == "a\ufffdb" == printable("a\ud800b")
    assert printable(os.fsdecode("é".encode())) == "é" == printable("\udcc3\udca9")

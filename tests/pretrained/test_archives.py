"""Archives from anywhere: a bundle comes out, and nothing else happens."""

import io
import stat
import tarfile
import zipfile

import pytest

from evc_jax.errors import BundleError
from evc_jax.pretrained import archives
from evc_jax.pretrained.archives import extract_bundle

FILES = {"bundle.json": b"{}", "params/a/b": b"x" * 1000}


def zipped(path, files, links=()):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        for name in links:
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, "/etc/passwd")
    return path


def tarred(path, files, links=(), kind=tarfile.SYMTYPE):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for name in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    return path


PACKERS = pytest.mark.parametrize("pack", [zipped, tarred])


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in" / "folder").mkdir(parents=True)
    return tmp_path / "in" / "folder"


def _content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@PACKERS
@pytest.mark.parametrize("prefix", ["", "./", "my_bundle/", "./my_bundle/"])
def test_a_bundle_is_found_at_the_top_or_in_a_folder(pack, prefix, tmp_path, folder):
    beside = {"__MACOSX/._bundle.json": b"", "LICENSE": b""} if "my" in prefix else {}
    if pack is zipped:
        prefix = prefix.removeprefix("./")
    extract_bundle(pack(tmp_path / "a", {**{prefix + name: FILES[name] for name in FILES}, **beside}), folder, "it")
    assert _content(folder) == FILES


@PACKERS
@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "params/../../evil", "a\\..\\evil", "C:evil", "a//b"])
def test_nothing_is_written_outside(pack, name, tmp_path, folder):
    archive = pack(tmp_path / "a", {**FILES, name: b"evil"})
    with pytest.raises(BundleError, match="is a link or lies outside of it"):
        extract_bundle(archive, folder, "it")
    assert not _content(folder) and sorted(path.name for path in tmp_path.rglob("*")) == ["a", "folder", "in"]


@pytest.mark.parametrize(
    "pack",
    [
        lambda path: zipped(path, FILES, ["params/link"]),
        lambda path: tarred(path, FILES, ["params/link"]),
        lambda path: tarred(path, FILES, ["params/link"], tarfile.LNKTYPE),
        lambda path: tarred(path, FILES, ["params/link"], tarfile.FIFOTYPE),
        lambda path: tarred(path, FILES, ["params/link"], tarfile.CHRTYPE),
    ],
)
def test_links_and_devices_are_refused(pack, tmp_path, folder):
    with pytest.raises(BundleError, match="has params/link, which is a link"):
        extract_bundle(pack(tmp_path / "a"), folder, "it")
    assert not _content(folder)


@PACKERS
def test_what_unpacks_to_too_much_is_given_up(pack, tmp_path, folder, monkeypatch):
    monkeypatch.setattr(archives, "MAX_BYTES", 5_000_000)
    bomb = pack(tmp_path / "a", {**FILES, "params/bomb": bytes(20_000_000)})
    assert bomb.stat().st_size < 50_000
    with pytest.raises(BundleError, match=r"it holds more than the 0\.005 GB that a bundle may have"):
        extract_bundle(bomb, folder, "it")
    if pack is zipped:  # which says that it holds less than it does
        content = bytearray(bomb.read_bytes()).replace((20_000_000).to_bytes(4, "little"), (9).to_bytes(4, "little"))
        bomb.write_bytes(content)
        with pytest.raises(BundleError):
            extract_bundle(bomb, folder, "it")
    assert sum(map(len, _content(folder).values())) < 6_000_000
    monkeypatch.setattr(archives, "MAX_BYTES", 50_000_000)
    monkeypatch.setattr(archives, "MAX_FILES", 2)
    bomb = pack(tmp_path / "a", {**FILES, "params/c": b""})
    with pytest.raises(BundleError, match="has more than 2 files"):
        extract_bundle(bomb, folder, "it")


@PACKERS
def test_a_damaged_archive_is_named(pack, tmp_path, folder):
    archive = pack(tmp_path / "a", {"bundle.json": b"{}", "params/a": bytes(range(256)) * 400})
    content = bytearray(archive.read_bytes())
    for changed in (content[: len(content) // 2], b"no archive", b""):
        archive.write_bytes(changed)
        with pytest.raises(BundleError, match="The archive it cannot be read"):
            extract_bundle(archive, folder, "it")
    content[len(content) // 2] ^= 255
    archive.write_bytes(content)
    with pytest.raises(BundleError, match="The archive it cannot be read"):
        extract_bundle(archive, folder, "it")


def test_a_name_that_is_a_file_and_a_folder_is_damage(tmp_path, folder):
    with pytest.raises(BundleError, match="The archive it cannot be read"):
        extract_bundle(tarred(tmp_path / "a", {"bundle.json": b"{}", "a": b"", "a/b": b""}), folder, "it")


@PACKERS
@pytest.mark.parametrize(
    "names", [("readme.txt",), ("a/b/bundle.json",), ("a/bundle.json", "b/bundle.json"), ("not_bundle.json",)]
)
def test_an_archive_without_one_bundle_is_refused(pack, names, tmp_path, folder):
    with pytest.raises(BundleError, match=r"has no bundle\.json at its top or in one folder"):
        extract_bundle(pack(tmp_path / "a", dict.fromkeys(names, b"{}")), folder, "it")

"""A bundle in pieces: what is joined is what was split, and anything else is refused in one sentence."""

import filecmp

import pytest
from support.tiny_bundles import write_bundle

from evc_jax.cli.commands import main
from evc_jax.errors import BundleError
from evc_jax.pretrained.bundle import load_bundle
from evc_jax.pretrained.pieces import join_bundle, split_bundle

MEGABYTES = 0.05


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture
def pieces(bundle, tmp_path):
    return split_bundle(bundle, tmp_path / "pieces", MEGABYTES)


def _same_tree(first, second):
    names = [sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file()) for root in (first, second)]
    assert names[0] == names[1] and names[0]
    assert all(filecmp.cmp(first / name, second / name, shallow=False) for name in names[0])


def test_a_joined_bundle_is_the_one_that_was_split(bundle, pieces, tmp_path):
    assert len(pieces) > 2 and all(piece.stat().st_size <= MEGABYTES * 1e6 for piece in pieces)
    for number, given in enumerate((pieces[::-1], [pieces[0].parent])):
        joined = join_bundle(given, tmp_path / f"joined-{number}")
        _same_tree(bundle, joined)
        load_bundle(joined).network("speechsplit")
    assert split_bundle(joined, tmp_path / "again", MEGABYTES) == [tmp_path / "again" / p.name for p in pieces]


def test_the_command_line_splits_and_joins(bundle, tmp_path, capsys):
    assert main(["bundle", "split", str(bundle), "--max-megabytes", "0.1", "-o", str(tmp_path / "pieces")]) == 0
    files = capsys.readouterr().out.split()
    assert len(files) > 1 and main(["bundle", "join", *files, "-o", str(tmp_path / "joined")]) == 0
    _same_tree(bundle, tmp_path / "joined")


def test_without_an_action_a_bundle_needs_its_trainings(capsys):
    assert main(["bundle"]) == 2
    assert "give --speechsplit WORKDIR or --base, and -o DIR" in capsys.readouterr().err


def test_what_is_not_all_of_one_bundle_is_refused(bundle, pieces, tmp_path):
    with pytest.raises(BundleError, match=r"Of the \d+ pieces of \w+ 2 are missing"):
        join_bundle([pieces[0], *pieces[2:]], tmp_path / "joined")
    others = split_bundle(bundle, tmp_path / "other", 2 * MEGABYTES)
    with pytest.raises(BundleError, match="The pieces are of 2 bundles"):
        join_bundle([*pieces, *others], tmp_path / "joined")
    with pytest.raises(BundleError, match="is no piece of a bundle"):
        join_bundle([bundle / "bundle.json"], tmp_path / "joined")
    with pytest.raises(BundleError, match="holds no piece of a bundle"):
        join_bundle([bundle], tmp_path / "joined")
    assert not (tmp_path / "joined").exists()


def test_a_damaged_or_missing_piece_is_named(pieces, tmp_path):
    changed = bytearray(pieces[1].read_bytes())
    changed[100] ^= 1
    pieces[1].write_bytes(changed)
    with pytest.raises(BundleError, match="are damaged"):
        join_bundle(pieces, tmp_path / "joined")
    pieces[1].unlink()
    with pytest.raises(BundleError, match="cannot be read"):
        join_bundle(pieces, tmp_path / "joined")
    assert not (tmp_path / "joined").exists()


def test_only_a_bundle_is_replaced(pieces, tmp_path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("mine")
    with pytest.raises(BundleError, match="exists and is not a bundle"):
        join_bundle(pieces, tmp_path / "letters")
    assert (tmp_path / "letters" / "a.txt").read_text() == "mine"


def test_a_size_that_cannot_be_is_refused(bundle, tmp_path):
    with pytest.raises(BundleError, match=r"Pieces of 0 MB were asked for"):
        split_bundle(bundle, tmp_path, 0)

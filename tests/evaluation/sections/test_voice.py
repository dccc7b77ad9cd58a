"""Pairs to clone, and distances of sets of voices whose answers are known."""

import numpy as np
import pytest

from evc_jax.evaluation.sections.new_voices import _cells, frechet_distance
from evc_jax.evaluation.sections.voice import clone_pairs, compare


def test_every_speaker_is_source_and_target_before_any_is_twice():
    takes = {name: [{"speaker": name, "dataset": "d", "take": i} for i in range(3)] for name in "abc"}
    takes |= {"z": [{"speaker": "z", "dataset": "other", "take": i} for i in range(2)], "one": [{"dataset": "d"}]}
    pairs = clone_pairs(takes, 99)
    assert all(source["speaker"] != reference["speaker"] == other["speaker"] for source, reference, other in pairs)
    assert all(reference["take"] != other["take"] for _, reference, other in pairs)
    assert {(s["speaker"], r["speaker"]) for s, r, _ in pairs} == {(a, b) for a in "abc" for b in "abc" if a != b}
    assert clone_pairs(takes, 2) == pairs[:2]


def test_a_judge_that_is_not_installed_has_no_cosine():
    known = {"encoder": [1.0, 0.0], "verifier": []}
    encoder, verifier = compare(known, {"encoder": [1.0, 1.0], "verifier": [1.0]})
    assert encoder == pytest.approx(np.sqrt(0.5)) and np.isnan(verifier)


def test_frechet_distance_of_gaussians():
    draw = np.random.default_rng(0).normal(size=(4000, 3))
    assert frechet_distance(draw, draw) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(draw, draw + 2) == pytest.approx(12, abs=1e-6)
    assert frechet_distance(draw, 3 * draw) == pytest.approx(12, rel=0.1)  # 3 (3 - 1)^2


def test_copies_of_the_speakers_are_found_out_and_one_voice_covers_little():
    voices = (
        np.abs(np.random.default_rng(0).normal(size=(30, 256))) * np.repeat([[1.0, 3.0]], 128, axis=1).ravel()[:256]
    )
    real = voices / np.linalg.norm(voices, axis=1, keepdims=True)
    sexes = np.array(["male", "female"] * 15)
    distance, coverage, right, nearest, highest = _cells(real, sexes, real, sexes)
    assert [coverage.mean, right.mean, highest.mean] == pytest.approx([1, 1, 1])
    assert nearest.low == pytest.approx(1) and distance.low <= distance.mean <= distance.high
    _, coverage, right, *_ = _cells(real[:1].repeat(30, axis=0), sexes, real, sexes)
    assert coverage.mean < 0.5 and right.mean == 0.5

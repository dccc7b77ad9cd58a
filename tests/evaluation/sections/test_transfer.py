"""The pairs of the section on transfer, and the closeness of what is known."""

import numpy as np
from support.acted_speech import acted_speech

from evc_jax.audio.io import from_pcm
from evc_jax.conversion.aspects import TransferAspects
from evc_jax.evaluation.sections.transfer import closeness, draw_pairs
from evc_jax.features.extract import extract


def test_pairs_are_one_sentence_by_two_speakers_and_sentences_take_turns():
    records = [{"speaker": s, "text_id": t, "take": i} for s in "ab" for t in "xy" for i in range(2)]
    pairs = draw_pairs(records + [{"speaker": "c", "text_id": "z"}], 6)
    assert len(pairs) == 6
    assert all(one["text_id"] == two["text_id"] and one["speaker"] != two["speaker"] for one, two in pairs)
    assert [one["text_id"] for one, _ in pairs] == ["x", "y"] * 3
    assert pairs == draw_pairs(records, 6) and draw_pairs(records[:1], 6) == []


def test_a_recording_is_perfectly_close_to_what_it_owns_and_only_to_that():
    speech = acted_speech()
    records = speech.training[0], speech.judged[5]
    source, target = (
        extract(from_pcm(r["audio"]), 16000, speech.config, lambda _, i=i: np.eye(4)[i]) for i, r in enumerate(records)
    )
    kept = closeness(source, source, target, TransferAspects.parse("R"), speech.config)
    assert kept[0] > 0.999 and kept[1] > 0.999 and kept[2] > 0
    moved = closeness(source, source, target, TransferAspects.parse("FU"), speech.config)
    assert moved[0] < 0.999 and moved[1] == 0 and moved[2] == 0

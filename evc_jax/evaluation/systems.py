"""The systems that an evaluation compares, and their rows: the bundle, the rules, real speech, and copies."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping

import numpy as np

from evc_jax.audio.io import from_pcm
from evc_jax.evaluation.context import RENDERING, Context
from evc_jax.evaluation.metrics import Record
from evc_jax.evaluation.rules import apply_rule, world_copy
from evc_jax.evaluation.scoring import Row, Sample
from evc_jax.evaluation.speech import HEADLINE, NEUTRAL

UNCHANGED, REAL, REAL_COPY = "the recording itself", "real emotional speech", "WORLD copy of real emotional speech"
WORLD, GRIFFIN_LIM, REBUILT = "WORLD copy", "Griffin-Lim copy", "bundle, nothing asked"
COPIES = (WORLD, GRIFFIN_LIM, REBUILT)

Make = Callable[[Record, str], Sample]
_known: weakref.WeakKeyDictionary[Context, Mapping[str, list[Row]]] = weakref.WeakKeyDictionary()


def bundle_name(strength: float) -> str:
    """The system of the bundle at a strength of the emotion."""
    return f"bundle, strength {strength:g}"


def rules_name(strength: float) -> str:
    """The system of the rules at a strength of the emotion."""
    return f"rules, strength {strength:g}"


def system_rows(context: Context) -> Mapping[str, list[Row]]:
    """The rows of all systems, measured once; copies come last, as nothing is asked of them."""
    if context not in _known:
        _known[context] = _measure(context)
    return _known[context]


def _measure(context: Context) -> dict[str, list[Row]]:
    sources, config, rules = context.sources, context.config, context.scorer.rules
    of_dataset = {name: context.speech.emotions(name) for name in {s["dataset"] for s in sources}}
    asked = [(s, e) for s in sources for e in context.emotions if e in of_dataset[s["dataset"]]]
    headline = [(source, emotion) for source, emotion in asked if emotion in HEADLINE]
    neutral = [(source, NEUTRAL) for source in sources]

    def by_rule(strength: float) -> Make:
        return lambda s, e: Sample(apply_rule(s, rules[s["dataset"], e].at(strength), config), s, e)

    def by_bundle(**options) -> Make:
        return lambda s, e: Sample(context.convert(s, **options, **({} if e == NEUTRAL else {"emotion": e})), s, e)

    rows = {UNCHANGED: context.scored(UNCHANGED, headline, lambda s, e: Sample(from_pcm(s["audio"]), s, e))}
    rows |= _real(context)
    # Emotions beyond the headline's are measured at one strength, the one nearest to 1.
    middle = min(context.strengths, key=lambda strength: abs(strength - 1))
    for strength in context.strengths:
        requests = asked if strength == middle else headline
        ruled = [(s, e) for s, e in requests if (s["dataset"], e) in rules]
        rows[rules_name(strength)] = context.scored(rules_name(strength), ruled, by_rule(strength))
        rows[bundle_name(strength)] = context.scored(
            bundle_name(strength), requests, by_bundle(strength=strength) if asked else by_bundle()
        )
    for rendering in context.renderings:
        name = f"bundle, rendering {rendering}, strength {middle:g}"
        rows[name] = context.scored(name, headline, by_bundle(strength=middle, **{RENDERING: rendering}))
    rows[WORLD] = context.scored(WORLD, neutral, lambda s, e: Sample(world_copy(s, config), s, e))
    rows[GRIFFIN_LIM] = context.scored(GRIFFIN_LIM, neutral, lambda s, e: Sample(context.griffin_lim_copy(s), s, e))
    rows[REBUILT] = context.scored(REBUILT, neutral, by_bundle())
    return {name: each for name, each in rows.items() if each}


def _real(context: Context) -> dict[str, list[Row]]:
    """The speakers' own takes of the sources' sentences, as they are and copied by WORLD."""
    speech, rows = context.speech, {}
    first = {(s["speaker"], s["text_id"]): s for s in reversed(context.sources)}
    takes = {
        (source["utterance_id"], emotion, number): take
        for (speaker, text_id), source in first.items()
        for emotion in speech.emotions(source["dataset"])
        if emotion in context.emotions or emotion in HEADLINE
        for number, take in enumerate(speech.own_takes(speaker, text_id, emotion))
    }
    kinds: dict[str, Callable[[Record], np.ndarray]] = {REAL: lambda take: from_pcm(take["audio"])}
    if not context.settings.quick:
        kinds[REAL_COPY] = lambda take: world_copy(take, context.config)
    for name, make in kinds.items():
        found: list[Row] = []
        for number in range(1 + max((key[2] for key in takes), default=-1)):
            requests = [
                (source, emotion)
                for source in first.values()
                for emotion in dict.fromkeys(key[1] for key in takes)
                if (source["utterance_id"], emotion, number) in takes
            ]

            def sample(source: Record, emotion: str, number: int = number, make=make) -> Sample:
                take = takes[source["utterance_id"], emotion, number]
                return Sample(make(take), source, emotion, take["utterance_id"])

            found += context.scored(f"{name}, take {number + 1}", requests, sample)
        rows[name] = found
    return rows

"""What each control moves: its own measure by a full setting, and the others' as little as possible."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from evc_jax.conversion.controls import EFFORT_DB_PER_OCTAVE
from evc_jax.data.sampling import spread_evenly
from evc_jax.evaluation.bootstrap import Estimate, estimate
from evc_jax.evaluation.context import Context
from evc_jax.evaluation.independence import BOUND, MEASURES, RECOGNISED, Measured, compare, largest_unwanted, measure
from evc_jax.evaluation.metrics import Record
from evc_jax.evaluation.pictures import draw_matrix
from evc_jax.evaluation.report import Section, Table, Value

RECORDINGS = 16
RECOGNITION = (
    "Closeness and certainty come from a voice encoder and a recogniser of emotions. Both read melody and tilt, of "
    "which emotions and voices consist: what an effort adds to the certainty of anger is no change of anything else."
)
LEAST_UNIT = 0.02  # what an emotion or a voice moves less than this is no unit
OTHER_VOICE = "other"  # stands for the embedding of another judged recording


@dataclass(frozen=True)
class Control:
    """A control at its full setting.

    Attributes:
      name: in the tables.
      own: the one of `MEASURES` that it is meant to move.
      options: at the full setting.
      unit: how far that is to move its own measure; None is as far as it does on neutral recordings.
      others: further settings, by the share of the unit that they ask for.
    """

    name: str
    own: str
    options: Mapping[str, Any]
    unit: float | None = None
    others: Mapping[float, Mapping[str, Any]] = field(default_factory=dict)


CONTROLS = (
    Control("pitch shift", "f0", {"pitch_shift": 4}, 4.0, {-1: {"pitch_shift": -4}}),
    Control("pitch range", "range", {"pitch_range": 1.5}, float(np.log(1.5)), {-1: {"pitch_range": 1 / 1.5}}),
    Control("rate", "duration", {"rate": 1.25}, -float(np.log(1.25)), {-1: {"rate": 0.8}}),
    Control("loudness", "level", {"loudness": 6}, 6.0),
    Control("effort", "tilt", {"effort": 1}, EFFORT_DB_PER_OCTAVE, {-1: {"effort": -1}, 0.5: {"effort": 0.5}}),
)
VOICE = Control("another voice", "voice", {"voice": OTHER_VOICE}, None, {0.5: {"timbre": 0.5}})


def controls_section(context: Context) -> Section:
    """Every control on neutral recordings, and on top of an emotion and of another voice."""
    runs = _Comparisons(context)
    meant = [VOICE, *([runs.emotion] if runs.emotion else [])]
    # Each table is of its base: what the controls are set on top of.
    rows: dict[str, dict[str, tuple[str, Sequence[Estimate]]]] = {}
    for base in (None, *meant):
        kept = [*CONTROLS, *(each for each in meant if each is not base)]
        rows[base.name if base else ""] = {
            control.name: (control.own, runs.in_units(base.options if base else {}, control)) for control in kept
        }
    judged = [control.name for control in CONTROLS]
    tables = [_table(base, each, judged) for base, each in rows.items()]
    text = [*(_sentence(base, each, judged) for base, each in rows.items()), RECOGNITION]
    draw_matrix(
        context.picture("controls.png"),
        {f"on top of {base}" if base else "on neutral recordings": each for base, each in rows.items()},
        list(MEASURES.values()),
        judged,
        BOUND,
    )
    caption = "What a full setting of each control (rows) moves (columns), in full settings of the columns' controls."
    return Section("controls", "Controls", text, [*tables, _settings_table(runs, meant)], [("controls.png", caption)])


class _Comparisons:
    """Changes of the measures by options on top of others, over all sources; kept as they are made."""

    def __init__(self, context: Context):
        self._context, self.sources = context, spread_evenly(context.sources, RECORDINGS)
        self._asked = next((e for e in ("angry", *context.emotions) if e in context.emotions), None)
        self._measured = functools.cache(self._measure)

    @functools.cached_property
    def emotion(self) -> Control | None:
        """The emotion as a control; None where the bundle has none that the speakers have."""
        if self._asked is None:
            return None
        others = {0.5: {"strength": 0.5}}
        return Control(f"the emotion {self._asked}", "emotion", {"emotion": self._asked}, None, others)

    @functools.cached_property
    def _units(self) -> Mapping[str, float]:
        meant = [VOICE, *([self.emotion] if self.emotion else [])]
        measured = {each.own: float(np.nanmean(self.changes({}, each.options)[each.own])) for each in meant}
        known = {control.own: control.unit or 0.0 for control in CONTROLS} | measured
        return {own: unit if abs(unit) > LEAST_UNIT else float("nan") for own, unit in known.items()}

    def in_units(self, base: Mapping[str, Any], control: Control) -> list[Estimate]:
        """What the control moves of each measure on top of other options, in units of full settings."""
        changes = self.changes(base, {**base, **control.options})
        speakers = [source["speaker"] for source in self.sources]
        return [estimate(changes[key] / self._units.get(key, np.nan), speakers) for key in MEASURES]

    def own(self, control: Control, options: Mapping[str, Any]) -> Estimate:
        """What options move of the control's own measure on neutral recordings, in its units."""
        changes = self.changes({}, options)[control.own] / self._units[control.own]
        return estimate(changes, [source["speaker"] for source in self.sources])

    def changes(self, base: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """By measure, the change from the first options to the second for each source."""
        name = f"{_shown(base)} -> {_shown(options)}"
        rows = []
        for i, source in enumerate(self._context.bar(self.sources, name)):
            key = f"controls|{name}|{len(self.sources)}|{source['dataset']}|{source['utterance_id']}"

            def compared(i: int = i) -> dict[str, float]:
                before, after = (self._measured(i, tuple(each.items())) for each in (base, options))
                return compare(before, after, self._other_voice(i))

            rows.append(self._context.store.get(key, compared))
        return {key: np.array([row[key] for row in rows], float) for key in MEASURES}

    def _other_voice(self, i: int) -> np.ndarray:
        other = self.sources[(i + len(self.sources) // 2) % len(self.sources)]
        return self._context.features(other).embedding

    def _measure(self, i: int, options: tuple[tuple[str, Any], ...]) -> Measured:
        asked = {k: self._other_voice(i) if v == OTHER_VOICE else v for k, v in options}
        source: Record = self.sources[i]
        found, samples = measure(self._context.convert(source, **asked), self._context.config)
        if self._asked is None:
            return found
        recognised = self._context.scorer.recogniser.recognise(samples, found.f0_hz, source, self._asked)
        return replace(found, certainty=recognised.certainty)


def _table(base: str, rows: Mapping[str, tuple[str, Sequence[Estimate]]], judged: Sequence[str]) -> Table:
    lines = [(name if name in judged else f"{name} (meant)", list(cells)) for name, (_, cells) in rows.items()]
    note = (
        "Means of signed changes. 1 is what a full setting of the column's control is to move: 4 semitones, a "
        "deviation of F0 of 1.5 times, a rate of 1.25, 6 dB, an effort of 1 (3.4 dB per octave), and what another "
        "voice and an emotion of strength 1 move on neutral recordings. Emotion and voice are meant to move melody, "
        "timing, level and tilt, and are not judged."
    )
    title = f"What each control moves on top of {base}" if base else "What each control moves"
    return Table(title, ("", *MEASURES.values()), ("+.2f",) * len(MEASURES), lines, note)


def _sentence(base: str, rows: Mapping[str, tuple[str, Sequence[Estimate]]], judged: Sequence[str]) -> str:
    """The largest change of what a control should leave alone, among measured and among recognised columns."""
    where = f"On top of {base}" if base else "On neutral recordings"
    parts = []
    for kind, measures in (("measured", set(MEASURES) - set(RECOGNISED)), ("recognised", set(RECOGNISED))):
        if found := largest_unwanted(rows, judged, measures):
            control, moved, change = found
            verdict = "below" if abs(change) < BOUND else "above"
            parts.append(f"of what is {kind} {change:+.2f} ({MEASURES[moved]} by {control}, {verdict} {BOUND})")
    return f"{where} the largest change of what a control should leave alone is {' and '.join(parts) or 'unknown'}."


def _settings_table(runs: _Comparisons, meant: Sequence[Control]) -> Table:
    lines: list[tuple[str, Sequence[Value]]] = []
    for control in (*CONTROLS, *meant):
        for asked, options in sorted({**control.others, 1: control.options}.items()):
            whole = {**control.options, **options}
            lines.append((_shown(whole), [float(asked), runs.own(control, whole)]))
    header = ("", "asked for", "own measure")
    return Table("Each control at several settings", header, ("+.2f", "+.2f"), lines, "In full settings.")


def _shown(options: Mapping[str, Any]) -> str:
    numbers = {name: f"{value:.3g}" if isinstance(value, int | float) else value for name, value in options.items()}
    return ", ".join(f"{name} {value}" for name, value in numbers.items()) or "nothing asked"

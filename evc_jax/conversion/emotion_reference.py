"""The emotion of another recording, as a conversion takes it over."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evc_jax.errors import BundleError
from evc_jax.features.emotion_classifier import EmotionEstimate
from evc_jax.features.emotion_statistics import statistics
from evc_jax.features.extract import Features
from evc_jax.pretrained.bundle import Bundle


def estimate_emotion(features: Features, bundle: Bundle, neutral: Sequence[Features] = ()) -> EmotionEstimate:
    """The emotion of a recording.

    Args:
      features: of it.
      bundle: whose classifier is asked; the features have its audio settings.
      neutral: neutral recordings of the same speaker, if there are any.

    Raises:
      AudioError: a recording has no speech.
      BundleError: the bundle has no classifier, or a damaged one.
    """
    classifier, register = bundle.emotion_classifier, bundle.register
    if classifier is None or register is None:
        raise BundleError(f"The bundle {bundle.path} cannot tell a recording's emotion; use another bundle.")
    values = [statistics(each.mel, each.f0_hz, each.embedding, register, bundle.audio) for each in (features, *neutral)]
    return classifier.estimate(values[0], np.stack(values[1:]) if neutral else None)

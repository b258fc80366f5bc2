"""`voice`: a linear support vector machine on contours of the voice and statistics of the features.

Functionals of contours (`emotion.features.functionals`), few and with a physical meaning, none of the recording's
loudness, after Eyben et al., "The Geneva Minimalistic Acoustic Parameter Set for Voice Research and Affective
Computing" (IEEE Trans. Affective Computing 7(2), 2016); beside them the statistics of `svm`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from emotion.classifiers.linear import Cost, LinearSettings
from emotion.classifiers.svm import Svm
from emotion.data.examples import FUNCTIONALS, STATISTICS


class VoiceSettings(LinearSettings):
    """Settings of the linear support vector machine; see `emotion.classifiers.linear.LinearSettings`.

    One cost, chosen on RAVDESS and nEMO together: a choice on the inner folds of few speakers is noise. A machine for
    each class against the rest transferred better from each of the two to the other than one of all classes.
    """

    costs: Annotated[tuple[Cost, ...], Field(min_length=1)] = (0.001,)
    multi_class: Literal["crammer_singer", "ovr"] = "ovr"


class VoiceSvm(Svm):
    """Functionals of pitch, harmonicity, level, balance, MFCC and modulation, statistics of features -> linear SVM."""

    name, title = "voice", "linear SVM on contours and statistics"
    inputs = frozenset({FUNCTIONALS, STATISTICS})
    settings = VoiceSettings
    sources = (FUNCTIONALS, STATISTICS)

"""The classifiers by name; one of your own as ``package.module:Class``; several joined as ``one+another``."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from emotion.classifiers import CLASSIFIERS
from emotion.classifiers.base import Classifier
from emotion.classifiers.fusion import JOIN, SETTINGS, Fusion, FusionSettings
from emotion.data.examples import INPUTS
from emotion.settings import EmotionSettings
from speech2vec.runtime.errors import UserError


def load_classifier(name: str) -> Classifier:
    """The classifier of a name.

    Parameters
    ----------
    name : str
        A key of `CLASSIFIERS`; a class of your own as ``package.module:Class``; or several, joined by ``+``, whose
        probabilities are fused (`Fusion`).

    Raises
    ------
    UserError
        There is no such classifier.

    Examples
    --------
    >>> sorted(load_classifier("dual").inputs)
    ['frames', 'vectors']
    >>> load_classifier("svm+embedding").name
    'svm+embedding'
    """
    if JOIN in name:
        return Fusion([load_classifier(part) for part in name.split(JOIN)])
    kind = _imported(name)
    if not isinstance(kind, type) or not all(callable(getattr(kind, method, None)) for method in ("fit", "load")):
        raise UserError(f"--model {name} is not a class with methods fit and load")
    inputs = getattr(kind, "inputs", ())
    unknown = [str(one) for one in inputs if one not in INPUTS]
    if unknown or not inputs or not isinstance(getattr(kind, "name", None), str):
        raise UserError(
            f"--model {name}: its class needs a name, and inputs of {', '.join(sorted(INPUTS))}"
            + (f", not {', '.join(unknown)}" if unknown else "")
        )
    if Classifier not in kind.__mro__:  # for what has a default
        kind = type(kind.__name__, (kind, Classifier), {})
    classifier: Classifier = kind()
    return classifier


def _imported(name: str) -> Any:
    module_name, colon, class_name = CLASSIFIERS.get(name, name).partition(":")
    if not colon or not module_name or not class_name:
        raise UserError(
            f"there is no model '{name}': choose {', '.join(CLASSIFIERS)}, several joined by +, or package.module:Class"
        )
    try:
        return getattr(importlib.import_module(module_name), class_name)
    except ImportError as error:
        raise UserError(f"--model {name} cannot be imported: {error}") from error
    except AttributeError as error:
        raise UserError(f"--model {name}: module {module_name} has no class {class_name}") from error


def search_working_folder() -> None:
    """Let modules in the working folder be found: for a name that the user gives, never for one in a run's files."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # for good: processes that are started later inherit it


def check_settings(classifier: Classifier, settings: EmotionSettings) -> None:
    """Check the tables of settings of classifiers.

    Raises
    ------
    UserError
        A table belongs to no known classifier, or a setting in it is unknown or has a value of the wrong type.
    """
    kinds = {part.name: part.settings for part in getattr(classifier, "parts", [classifier])}
    kinds[SETTINGS] = FusionSettings
    for name in settings.tables:
        if name not in kinds and name not in CLASSIFIERS:
            raise UserError(f"unknown setting {name}")
        settings.of(name, kinds[name] if name in kinds else load_classifier(name).settings)

"""What all tests share: where the real speech lies, and one thread for each so that results do not depend on cores."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples in every run, and no limit on the time of one: other work on the machine fails no test.
settings.register_profile("project", deadline=None, derandomize=True, database=None)
settings.load_profile("project")

# Before anything imports NumPy or torch: small matrices gain nothing from threads, and tests run beside each other.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

# Before anything imports Triton: without a GPU its kernels run in its interpreter.
import torch  # noqa: E402

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")


# The tests may also be copied out of the checkout and run against an installed package: what is about the checkout
# itself, or needs its scripts, then stays out.
CHECKOUT = Path(__file__).resolve().parents[1]
collect_ignore: list[str] = []
if not (CHECKOUT / "scripts").is_dir():
    collect_ignore += ["scripts", "test_layering.py", "emotion/corpora/test_corpora.py", "emotion/data/test_prepare.py"]


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The folder of the project, for tests that read its pages or run its scripts."""
    if not (CHECKOUT / "scripts").is_dir():
        pytest.skip("the tests do not lie in a checkout, which this one needs")
    return CHECKOUT


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real speech that SPEECH2VEC_TEST_DATA names; tests marked `corpus` use it."""
    folder = os.environ.get("SPEECH2VEC_TEST_DATA", "")
    if not folder:
        pytest.skip("SPEECH2VEC_TEST_DATA is not set: tests on real speech need it")
    path = Path(folder)
    if not path.is_dir():
        pytest.fail(f"SPEECH2VEC_TEST_DATA={folder} is not a folder")
    return path.resolve()


@pytest.fixture(scope="session")
def librispeech(test_data: Path) -> Path:
    """Real LibriSpeech: dev-clean, and some of train-clean-100."""
    return test_data / "librispeech" / "LibriSpeech"

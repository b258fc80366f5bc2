"""The datasets that can be downloaded: addresses, licences and checksums.

Checksums are those that the source publishes (OpenSLR's md5sum.txt, a Zenodo record), or were computed from its files.
A source without checksums has None, and the user is warned.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from speech2vec.runtime.errors import UserError


@dataclass(frozen=True)
class RemoteFile:
    """A file on a server.

    Parameters
    ----------
    path : str
        Its place in the output folder.
    url : str
    checksum : str or None
        ``md5:…`` or ``sha256:…``; None if none is published.
    """

    path: str
    url: str
    checksum: str | None


@dataclass(frozen=True)
class Dataset:
    """A dataset that can be downloaded.

    Parameters
    ----------
    name : str
        Its name on the command line.
    files : tuple of RemoteFile
    archive : bool
        Whether its only file is an archive, to be unpacked into the output folder.
    source : str
        Web page with description and licence.
    licence : str
    """

    name: str
    files: tuple[RemoteFile, ...]
    archive: bool
    source: str
    licence: str


# https://www.openslr.org/resources/12/md5sum.txt
_LIBRISPEECH_MD5 = {
    "dev-clean": "42e2234ba48799c1f50f24a7926300a1",
    "dev-other": "c8d0bcc9cca99d4f8b62fcc847357931",
    "test-clean": "32fa31d27d2e1cad72775fee3f4849a9",
    "test-other": "fb5a50374b501bb3bac4815ee91d3135",
    "train-clean-100": "2a93770f6d5c6c964bc36631d331a522",
    "train-clean-360": "c0e676e450a7ff2f54aeade5171606fa",
    "train-other-500": "d1a0fd59409feb2c614ce4d30c387708",
}

# Computed in 2026; the collection publishes no checksums.
_WORDSIM_SHA256 = {
    "EN-MC-30.txt": "33ee05911496ff83d95cac351d0746c6f63b9181b605cb7d307f4daa8864511b",
    "EN-MEN-TR-3k.txt": "888b13580faa362c7b11da0a670258cf1b1eb4bf0ecbcd418918729a3bd3f43a",
    "EN-MTurk-287.txt": "a9ae3a9decb75a9700fe0cf18b048c1344774d9f40e0196baf8e34d4cd9d1ce5",
    "EN-MTurk-771.txt": "04dc297c9e86b6fa7cf8ef0e4ba2e2c8d3399ec68d92fb7a53c0b4aae27198b5",
    "EN-RG-65.txt": "c243f3a91c3f5d8cf67f21a67f6fb80bde8b6bb060851a6a48e6f2d68ec98c9f",
    "EN-RW-STANFORD.txt": "5108d54dfc746f44f9c3d7e31d2857c37cf71430bc1594175a61a3b89bb0ae1f",
    "EN-SIMLEX-999.txt": "405394ffb7d25f6d0e3c041f87c9f27d29dc6b047506769953e85c4523b11685",
    "EN-SimVerb-3500.txt": "9d84274e7ad029fd3cf69dd0516e9ade624bbef9bd4e2050f6cc1fa01471e0f5",
    "EN-VERB-143.txt": "7259e19961c81912aa4c72de0102e480b2ad2bb9f4ce97d036fbde8e1a403001",
    "EN-WS-353-ALL.txt": "ce12919b240af45bdf46d243601eaca2b6212b159b5e7e9b435ee7ee40c5619c",
    "EN-WS-353-REL.txt": "66a7c88100624d0a391605ff61ce84e11d11ee620d51ec0298da49592838f8fa",
    "EN-WS-353-SIM.txt": "f1da938998863c94e53f72f984a5c6e215f0b46c323aae8f0f4930703a339107",
    "EN-YP-130.txt": "7643fdbc6158c3424061e2cba450c71285767266ff9f3db947bfc1f1f5ce67ab",
}

_PUBLISHED_SIZES = (50, 100, 200, 300)
_PUBLISHED_URL = "https://github.com/iamyuanchung/speech2vec-pretrained-vectors/raw/master"


def _archive(name: str, url: str, checksum: str, source: str, licence: str) -> Dataset:
    return Dataset(name, (RemoteFile(url.rpartition("/")[2], url, checksum),), True, source, licence)


def _datasets() -> Iterator[Dataset]:
    yield Dataset(
        name="wordsim",
        files=tuple(
            RemoteFile(
                name,
                f"https://raw.githubusercontent.com/mfaruqui/eval-word-vectors/master/data/word-sim/{name}",
                f"sha256:{digest}",
            )
            for name, digest in _WORDSIM_SHA256.items()
        ),
        archive=False,
        source="https://github.com/mfaruqui/eval-word-vectors",
        licence="MIT (collection); cite each benchmark separately",
    )
    for subset, digest in _LIBRISPEECH_MD5.items():
        yield _archive(
            f"librispeech:{subset}",
            f"https://www.openslr.org/resources/12/{subset}.tar.gz",
            f"md5:{digest}",
            "https://www.openslr.org/12",
            "CC BY 4.0",
        )
    yield _archive(
        "librispeech-alignments",
        "https://zenodo.org/records/2619474/files/librispeech_alignments.zip",
        "md5:2bab567d0ace651a4ba254e813629f46",
        "https://zenodo.org/records/2619474",
        "CC BY 4.0",
    )
    yield _archive(
        "ravdess",
        "https://zenodo.org/records/1188976/files/Audio_Speech_Actors_01-24.zip",
        "md5:bc696df654c87fed845eb13823edef8a",
        "https://zenodo.org/records/1188976",
        "CC BY-NC-SA 4.0",
    )
    yield Dataset(
        name="speech2vec-published",
        files=tuple(
            RemoteFile(f"{model}/{size}.vec", f"{_PUBLISHED_URL}/{model}/{size}.vec", None)
            for model in ("speech2vec", "word2vec")
            for size in _PUBLISHED_SIZES
        ),
        archive=False,
        source="https://github.com/iamyuanchung/speech2vec-pretrained-vectors",
        licence="none stated",
    )


DATASETS = {dataset.name: dataset for dataset in _datasets()}


def find_dataset(name: str) -> Dataset:
    """The dataset of this name; a `UserError` lists the known ones."""
    if name not in DATASETS:
        raise UserError(f"unknown dataset '{name}'; known: {', '.join(DATASETS)}")
    return DATASETS[name]

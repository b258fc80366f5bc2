"""What can be downloaded: where public data lies, under which licence, with which checksums.

Every checksum is the one that the source publishes (OpenSLR's md5sum.txt, a Zenodo record) or that of the files of the
named public collection. Where nothing is published it is None, and the user is told so.
"""

from __future__ import annotations

from dataclasses import dataclass

from speech2vec.runtime.errors import UserError


@dataclass(frozen=True)
class RemoteFile:
    """A file somewhere else.

    Parameters
    ----------
    path : str
        Where it goes, relative to the output folder.
    url : str
    checksum : str or None
        ``md5:…`` or ``sha256:…`` as published; None where nothing is published.
    """

    path: str
    url: str
    checksum: str | None


@dataclass(frozen=True)
class Dataset:
    """Something that can be downloaded.

    Parameters
    ----------
    name : str
        What the user calls it.
    files : tuple of RemoteFile
    archive : bool
        Whether the one file is an archive to be unpacked into the output folder.
    source : str
        Page with licence and description.
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


# The files of the collection as they were in 2026; it publishes no checksums of its own.
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


def _datasets() -> dict[str, Dataset]:
    wordsim = Dataset(
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
        licence="MIT (collection); each benchmark is to be cited on its own",
    )
    librispeech = [
        Dataset(
            name=f"librispeech:{subset}",
            files=(
                RemoteFile(
                    f"{subset}.tar.gz", f"https://www.openslr.org/resources/12/{subset}.tar.gz", f"md5:{digest}"
                ),
            ),
            archive=True,
            source="https://www.openslr.org/12",
            licence="CC BY 4.0",
        )
        for subset, digest in _LIBRISPEECH_MD5.items()
    ]
    alignments = Dataset(
        name="librispeech-alignments",
        files=(
            RemoteFile(
                "librispeech_alignments.zip",
                "https://zenodo.org/records/2619474/files/librispeech_alignments.zip",
                "md5:2bab567d0ace651a4ba254e813629f46",
            ),
        ),
        archive=True,
        source="https://zenodo.org/records/2619474",
        licence="CC BY 4.0",
    )
    ravdess = Dataset(
        name="ravdess",
        files=(
            RemoteFile(
                "Audio_Speech_Actors_01-24.zip",
                "https://zenodo.org/records/1188976/files/Audio_Speech_Actors_01-24.zip",
                "md5:bc696df654c87fed845eb13823edef8a",
            ),
        ),
        archive=True,
        source="https://zenodo.org/records/1188976",
        licence="CC BY-NC-SA 4.0",
    )
    published = Dataset(
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
    return {dataset.name: dataset for dataset in (wordsim, *librispeech, alignments, ravdess, published)}


DATASETS = _datasets()


def find_dataset(name: str) -> Dataset:
    """The dataset of that name, or a `UserError` that lists them all."""
    if name not in DATASETS:
        raise UserError(f"there is no download '{name}'; there are {', '.join(DATASETS)}")
    return DATASETS[name]

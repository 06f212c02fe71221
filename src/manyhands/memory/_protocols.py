"""URLs of remote stores, and what fsspec makes of them. fsspec is loaded by nobody else, and only for a URL."""

from __future__ import annotations

import importlib
import os
import sys
from _blake2 import blake2b
from typing import TYPE_CHECKING, Any

from manyhands import errors
from manyhands._core.options import refuse

if TYPE_CHECKING:
    from collections.abc import Mapping

# Where a URL begins with a bucket, which somebody has to make, and a file appears when all of it has been sent.
_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "oci"})

_KEY = "give key=, a secret of 16 bytes or more with which all who share it sign, or trust_writers=True if nobody else can ever write to it"


def is_url(location: object) -> bool:
    """Whether a location is a URL, and not a path."""
    return isinstance(location, str) and "://" in location


def protocols(url: str) -> list[str]:
    """Of a URL, the outermost first: ``simplecache::s3://bucket`` has two."""
    return [part.partition("://")[0] for part in url.split("::")]


def is_object_store(url: str) -> bool:
    """Whether others see a file there only when it is whole, and there are buckets. Elsewhere files are moved to their names."""
    return protocols(url)[0] in _OBJECT_STORES


def check(url: str, *, is_signed: bool, trust_writers: bool) -> None:
    """
    Raises:
        BackendMissing: fsspec, or the package for the protocol, is not installed.
        ValueError: there is no such protocol.
        StoreRefused: nothing says who wrote what is there.
    """
    try:
        registry = importlib.import_module("fsspec.registry")
    except ImportError as error:
        msg = f"location={url!r} takes fsspec, which is not installed: pip install 'manyhands[remote]'"
        raise errors.BackendMissing(msg) from error
    for protocol in protocols(url):
        try:
            registry.get_filesystem_class(protocol)
        except ValueError:
            raise refuse("location", url, "a path, or a URL of a protocol that fsspec knows (s3, gs, az, sftp, file, ...)") from None
        except ImportError as error:
            package = registry.known_implementations[protocol]["class"].partition(".")[0]
            mend = f"pip install {package}" if package != "fsspec" else str(error)
            msg = f"location={url!r} takes a package for {protocol!r} that is not installed: {mend}"
            raise errors.BackendMissing(msg) from error
    if not (is_signed or trust_writers):
        raise errors.StoreRefused(url, "whoever can write there could run code here, since loading a result can run code", _KEY)


def opened(url: str, options: Mapping[str, Any]) -> tuple[Any, str]:
    """A file system of its own, which remembers no listings, and the path of the URL there."""
    core = importlib.import_module("fsspec.core")
    system, path = core.url_to_fs(url, **{"skip_instance_cache": True, "use_listings_cache": False, **options})
    return system, path.rstrip("/")


def forked() -> None:
    """In a child: a lock of fsspec's may have been held by a thread of the parent, and its own hook does not see to that."""
    asyn = sys.modules.get("fsspec.asyn")
    if asyn is not None:
        asyn.reset_lock()


def is_refusal(error: Exception) -> bool:
    """Whether it would be the same tomorrow: no such bucket, no right, no credentials. Not: no network."""
    return isinstance(error, FileNotFoundError | PermissionError | TypeError | ValueError) or "Credential" in type(error).__name__


def refused(url: str, error: Exception) -> errors.StoreRefused:
    """The error for what :func:`is_refusal` says."""
    if isinstance(error, FileNotFoundError):
        return errors.StoreRefused(
            url, f"there is no such bucket ({error})", "make it, or correct the URL, or the endpoint in storage_options="
        )
    why = f"it cannot be listed ({type(error).__name__}: {error})"
    return errors.StoreRefused(url, why, "give credentials that may list, read and write it, in the environment or in storage_options=")


def near_folder(url: str, key: bytes | None) -> str:
    """Where results of a remote store are kept on this machine if nothing is said: of each URL and key in a folder of its own."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(cache, "manyhands", "remote", blake2b(url.encode(), key=(key or b"")[:64], digest_size=8).hexdigest())

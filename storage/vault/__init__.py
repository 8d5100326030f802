"""The vault: keys, small secrets and session archives, encrypted. The names to use from outside."""

from storage.vault.archive import ArchiveFacts, RewrapFacts, rewrap_archive, write_archive
from storage.vault.archive_reader import inspect_archive, open_archive
from storage.vault.files import sweep_partials
from storage.vault.header import ArchiveContext
from storage.vault.keyring import Keyring
from storage.vault.keyring_file import generate_keyring, load_keyring, rotate_keyring
from storage.vault.profile_copy import CopyFacts, copy_profile
from storage.vault.profile_tar import pack, unpack
from storage.vault.secrets import SecretBox

__all__ = [
    "ArchiveContext",
    "ArchiveFacts",
    "CopyFacts",
    "Keyring",
    "RewrapFacts",
    "SecretBox",
    "copy_profile",
    "generate_keyring",
    "inspect_archive",
    "load_keyring",
    "open_archive",
    "pack",
    "rewrap_archive",
    "rotate_keyring",
    "sweep_partials",
    "unpack",
    "write_archive",
]

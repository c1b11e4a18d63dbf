"""What can go wrong with a user's input, each with one clear sentence as its message."""


class VitascopeError(Exception):
    """Base of every error that a user can cause and mend; its message is one sentence to show."""


class CheckpointError(VitascopeError):
    """A run folder or weights file is missing, truncated, foreign, or does not fit its config."""


class DataError(VitascopeError):
    """An image source is missing, unreadable, or not of a kind that Vitascope knows."""


class DownloadError(DataError):
    """CIFAR-10 could not be downloaded, or what arrived is not CIFAR-10."""


class InputError(VitascopeError):
    """Images, maps or settings do not fit the model or each other."""


class WriteError(VitascopeError):
    """A file or folder cannot be written: no permission, no such place, or a full disk."""


class TrainingError(VitascopeError):
    """A training run cannot start, go on, or be resumed."""

"""The exceptions that may cross a boundary of ours. Bad data is never one of them: it is a value."""

from collections.abc import Callable

__all__ = [
    "BrokerLost",
    "ConfigurationError",
    "NotFound",
    "OwnershipLost",
    "QingquanError",
    "StoreUnavailable",
    "TransitionRefused",
    "WrongUse",
    "all_faults",
]


class QingquanError(Exception):
    """Root of all our exceptions."""


class ConfigurationError(QingquanError):
    """The start is refused. ``faults`` names file, key, value found and values allowed, all at once."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


def all_faults(*checks: Callable[[], object]) -> None:
    """Run every check and refuse with the faults of all of them: a person should not have to come back for the next file."""
    faults: list[str] = []
    for check in checks:
        try:
            check()
        except ConfigurationError as refused:
            faults += refused.faults
    if faults:
        raise ConfigurationError(faults)


class WrongUse(QingquanError):
    """A command was called with arguments that cannot work; ends with exit status 2."""


class NotFound(QingquanError):
    """What was asked for by its id does not exist (HTTP 404)."""


class TransitionRefused(QingquanError):
    """The state something is in does not allow what was asked of it (HTTP 409)."""


class OwnershipLost(QingquanError):
    """Another process owns the partition now: drop what is not committed, and write nothing more for it."""


class StoreUnavailable(QingquanError):
    """A store did not answer. Transient: the shell retries with capped, jittered backoff."""


class BrokerLost(QingquanError):
    """The reading log or an outside broker did not answer. Transient, as above."""

"""The exceptions that mean: the user can fix this, and here is how."""


class UserError(Exception):
    """A mistake of input, flag or file; its message is one line that names it and the remedy."""


class DamagedRecordError(UserError):
    """A record that cannot be read; the message names its file and number."""

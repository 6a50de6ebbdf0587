"""Errors, sorted by what happens next.

``TryAgain``       the world may get better by itself: back off and repeat
``OwnerMustAct``   somebody has to change something first; repeating alone will not help
``Refused``        this one request is not allowed; nothing was changed
``Fatal``          the process cannot go on honestly; leave with a reason and let the service manager restart it

Each concrete error has a stable `code`, used alike by logs, the API, CLI exit texts and the manual, and a `hint` that
says what to do. Foreign errors are translated once, at the edge where they appear, with ``raise ... from``.
"""


class EdgedError(Exception):
    """The root; never raised itself. `str()` gives what happened and, after a semicolon, what to do."""

    code = "EDG-000"
    hint = ""

    def __init__(self, what: str, *, hint: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        if hint is not None:
            self.hint = hint

    def __str__(self) -> str:
        return f"{self.what}; {self.hint}" if self.hint else self.what


class TryAgain(EdgedError):
    """The world may get better by itself."""

    code = "EDG-100"


class OwnerMustAct(EdgedError):
    """Somebody has to change something first."""

    code = "EDG-200"


class Refused(EdgedError):
    """This request is not allowed, and nothing was changed."""

    code = "EDG-300"


class Fatal(EdgedError):
    """The process cannot go on honestly."""

    code = "EDG-900"

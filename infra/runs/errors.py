"""What can be wrong with a request for something durable."""

from fiel.tools.errors import UsageError


class NotFound(UsageError):
    """There is no such thing that the caller may see. Unknown and another's are the same error on purpose."""

    code = "not_found"


class Conflict(UsageError):
    """What is asked for collides with what is there."""

    code = "conflict"


class BadRequest(UsageError):
    """Something that was sent cannot be, whatever is there."""

    code = "bad_request"

"""The error tree: what can go wrong, with the HTTP status and the stable code that clients read.

    AppError
    ├── ValidationFailed         400 VALIDATION_ERROR
    │   └── InvalidManifest      400 INVALID_MANIFEST
    ├── PrizeExhausted           400 PRIZE_EXHAUSTED
    ├── Unauthorized             401 UNAUTHORIZED
    │   ├── InvalidCredentials   401 INVALID_CREDENTIALS
    │   └── InvalidToken         401 INVALID_TOKEN
    ├── Forbidden                403 FORBIDDEN
    │   ├── AccessDenied         403 ACCESS_DENIED
    │   ├── AccountDeleted       403 ACCOUNT_DELETED
    │   ├── EmailNotVerified     403 EMAIL_NOT_VERIFIED
    │   └── EmailTaken           403 EMAIL_TAKEN
    ├── NotFound                 404 NOT_FOUND
    ├── Conflict                 409 CONFLICT
    │   ├── PrizeHasWinners      409 PRIZE_HAS_WINNERS
    │   ├── AppHasRooms          409 APP_HAS_ROOMS
    │   ├── RoomNotActive        409 ROOM_NOT_ACTIVE
    │   ├── RoomClosed           409 ROOM_CLOSED
    │   ├── InvalidTransition    409 INVALID_TRANSITION
    │   ├── VersionNotGreater    409 VERSION_NOT_GREATER
    │   ├── BreakingChange       409 BREAKING_CHANGE
    │   └── MigrationRequired    409 MIGRATION_REQUIRED
    ├── PreconditionFailed       412 PRECONDITION_FAILED
    ├── UnsupportedMediaType     415 UNSUPPORTED_MEDIA_TYPE
    ├── RateLimitExceeded        429 RATE_LIMIT_EXCEEDED
    ├── ServiceUnavailable       503 SERVICE_UNAVAILABLE
    │   ├── OAuthNotConfigured   503 OAUTH_NOT_CONFIGURED
    │   └── MailNotConfigured    503 MAIL_NOT_CONFIGURED
    └── InternalError            500 INTERNAL_ERROR

Statuses that only the framework produces (405, 413, …) are named in ``FRAMEWORK_CODES``.
A message is public: it goes to the client as it stands. What only the log may know is
``private``.
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

NOTHING_HERE = "There is nothing at this address."
"""In the same words everywhere: what is hidden can't be told from what isn't there."""


class AppError(Exception):
    """Base of every error that a caller can act upon.

    Attributes:
        status: HTTP status.
        code: Stable identifier for clients, upper snake case.
        message: One public sentence.
        details: Public, JSON-serialisable particulars.
        private: The cause in the log's words; never sent.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "INTERNAL_ERROR"
    default_message: ClassVar[str] = "Something went wrong on our side."

    def __init__(
        self,
        message: str | None = None,
        *,
        details: Mapping[str, Any] | None = None,
        private: str | None = None,
    ) -> None:
        """Keep the public message and details apart from the private cause."""
        self.message = message or self.default_message
        self.details = dict(details or {})
        self.private = private
        super().__init__(self.message)


class ValidationFailed(AppError):
    """The request does not have the shape or the values that it must have."""

    status = 400
    code = "VALIDATION_ERROR"
    default_message = "The request is not valid."

    @classmethod
    def at(cls, fields: Mapping[str, str]) -> "ValidationFailed":
        """Name every failing field.

        Args:
            fields: JSON path (``$.name``) to what is wrong there.
        """
        return cls(details={"fields": dict(fields)})


class InvalidManifest(ValidationFailed):
    """A manifest has faults; ``details.faults`` lists each by its JSON pointer."""

    code = "INVALID_MANIFEST"
    default_message = "The manifest is not valid."


class PrizeExhausted(AppError):
    """No unit of the prize is left."""

    status = 400
    code = "PRIZE_EXHAUSTED"
    default_message = "All units of this prize have been awarded."


class Unauthorized(AppError):
    """Nobody is signed in."""

    status = 401
    code = "UNAUTHORIZED"
    default_message = "Sign in to do this."

    def __init__(
        self, message: str | None = None, *, private: str | None = None, challenge: str = "Bearer"
    ) -> None:
        """Keep how to identify oneself, for `WWW-Authenticate`, beside the rest."""
        super().__init__(message, private=private)
        self.challenge = challenge


class InvalidCredentials(Unauthorized):
    """The e-mail, password or code is wrong, or an app's id or secret; which is not said."""

    code = "INVALID_CREDENTIALS"
    default_message = "The e-mail address or the password is wrong."


class InvalidToken(Unauthorized):
    """The token is not valid, or not any more; why is said only in the log."""

    code = "INVALID_TOKEN"
    default_message = "The token is invalid or has expired."

    def __init__(
        self,
        message: str | None = None,
        *,
        private: str | None = None,
        was: Literal["invalid", "expired", "revoked"] = "invalid",
    ) -> None:
        """Keep what the token was beside the rest."""
        super().__init__(message, private=private)
        self.was = was


class Forbidden(AppError):
    """The caller is known and may not do this."""

    status = 403
    code = "FORBIDDEN"
    default_message = "You may not do this."


class AccessDenied(Forbidden):
    """The person did not let the sign-in provider tell who they are."""

    code = "ACCESS_DENIED"
    default_message = "Signing in was cancelled at the provider."


class AccountDeleted(Forbidden):
    """The person was deleted and can't sign in any more."""

    code = "ACCOUNT_DELETED"
    default_message = "This account was deleted."


class EmailNotVerified(Forbidden):
    """The sign-in provider does not vouch for the e-mail address."""

    code = "EMAIL_NOT_VERIFIED"
    default_message = "The sign-in provider has not verified your e-mail address."


class EmailTaken(Forbidden):
    """The e-mail address belongs to another account of the same sign-in provider."""

    code = "EMAIL_TAKEN"
    default_message = "Another account with this e-mail address signs in here."


class NotFound(AppError):
    """There is no such thing, or the caller may not know that there is."""

    status = 404
    code = "NOT_FOUND"
    default_message = "There is no such thing here."


class Conflict(AppError):
    """The request is well-formed but the state of things forbids it."""

    status = 409
    code = "CONFLICT"
    default_message = "The present state does not allow this."


class PrizeHasWinners(Conflict):
    """A prize with live winners stays."""

    code = "PRIZE_HAS_WINNERS"


class AppHasRooms(Conflict):
    """An app that live rooms use stays."""

    code = "APP_HAS_ROOMS"


class RoomNotActive(Conflict):
    """Only an ACTIVE room awards prizes."""

    code = "ROOM_NOT_ACTIVE"
    default_message = (
        'Only an ACTIVE room awards and draws prizes. PATCH it with {"status": "ACTIVE"} first.'
    )


class RoomClosed(Conflict):
    """A COMPLETED or CANCELLED room takes no changes."""

    code = "ROOM_CLOSED"
    default_message = "The room is closed: COMPLETED and CANCELLED rooms take no changes."


class InvalidTransition(Conflict):
    """The lifecycle has no step from the present status to that one."""

    code = "INVALID_TRANSITION"


class VersionNotGreater(Conflict):
    """A published version must be greater than the present one."""

    code = "VERSION_NOT_GREATER"


class BreakingChange(Conflict):
    """The change would refuse what was valid before and needs a new major version."""

    code = "BREAKING_CHANGE"


class MigrationRequired(Conflict):
    """The room's settings do not fit the target version yet."""

    code = "MIGRATION_REQUIRED"


class PreconditionFailed(AppError):
    """``If-Match`` names another state than the present one."""

    status = 412
    code = "PRECONDITION_FAILED"
    default_message = "It has changed since you read it."


class UnsupportedMediaType(AppError):
    """The body is of a kind that this endpoint does not read."""

    status = 415
    code = "UNSUPPORTED_MEDIA_TYPE"
    default_message = "This endpoint does not read bodies of this kind."


class RateLimitExceeded(AppError):
    """Too many requests in the window."""

    status = 429
    code = "RATE_LIMIT_EXCEEDED"
    default_message = "Too many requests. Try again later."

    def __init__(
        self,
        message: str | None = None,
        *,
        headers: Mapping[str, str],
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """Keep what the answer says about when to try again."""
        super().__init__(message, details=details)
        self.headers = headers


class ServiceUnavailable(AppError):
    """Something that we depend on does not answer; trying again later may help."""

    status = 503
    code = "SERVICE_UNAVAILABLE"
    default_message = "The service is temporarily unavailable. Try again shortly."


class OAuthNotConfigured(ServiceUnavailable):
    """No sign-in provider is configured."""

    code = "OAUTH_NOT_CONFIGURED"
    default_message = "Sign-in with this provider is not configured."


class MailNotConfigured(ServiceUnavailable):
    """No mail server is configured."""

    code = "MAIL_NOT_CONFIGURED"
    default_message = "This service sends no mail. Sign in in another way."


class InternalError(AppError):
    """A bug of ours, which says nothing about itself; report the request's id."""


def every_error(tree: type[AppError] = AppError) -> Iterator[type[AppError]]:
    """Yield the errors of the tree, each after those that it is a kind of."""
    yield tree
    for kind in tree.__subclasses__():
        yield from every_error(kind)


FRAMEWORK_CODES: Mapping[int, str] = {
    400: "VALIDATION_ERROR",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "PAYLOAD_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    429: "RATE_LIMIT_EXCEEDED",
    503: "SERVICE_UNAVAILABLE",
}

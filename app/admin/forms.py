"""The few things that staff do beside changing rows, each by the service that the API uses."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
from piccolo_admin.endpoints import FormConfig
from pydantic import BaseModel, Field
from starlette.requests import Request

from app.admin.changes import PARENTS, recorded, restore_row
from app.admin.places import line_of
from app.applications.publishing import change_app, deprecate_version, register_app, replace_secret
from app.applications.schemas import AppChange, AppInput, DeprecationInput
from app.auth.schemas import Revocation
from app.auth.sessions import revoke_person
from app.database.engine import fetch, fetchrow, fetchval
from app.email_addresses import canonical_address, searched_address
from app.errors import AppError, Conflict, NotFound, ValidationFailed
from app.http.bodies import decode_any, decode_body
from app.settings import settings
from app.users.erasing import erase_user
from app.users.service import set_platform_administrator
from app.webhooks.service import Change, change_webhook, redeliver
from tasks import runs
from tasks.schedule import JOBS, jobs

APPS, PEOPLE, OPERATIONS = "Apps", "People", "Operations"


class AppRegistration(BaseModel):
    """A new app."""

    appId: str = Field(title="App id")
    manifest: str = Field(title="Manifest (JSON)", json_schema_extra={"multiline": True})


class AppName(BaseModel):
    """An app."""

    appId: str = Field(title="App id")


class VersionDeprecation(BaseModel):
    """A version that takes no new rooms."""

    appId: str = Field(title="App id")
    version: str = Field(title="Version")
    reason: str = Field(title="Reason")


class WebhookOpening(BaseModel):
    """Whether anything is sent to an endpoint."""

    id: str = Field(title="Webhook id")
    isActive: bool = Field(title="Is told what happens", default=False)


class DeliveryName(BaseModel):
    """Something that was sent to an endpoint."""

    id: str = Field(title="Delivery id")


class PersonAndReason(BaseModel):
    """Somebody, and why."""

    email: str = Field(title="E-mail address")
    reason: str = Field(title="Reason")


class Administratorship(BaseModel):
    """Whether somebody is a platform administrator."""

    email: str = Field(title="E-mail address")
    isAdmin: bool = Field(default=True, title="Platform administrator")


class Erasure(BaseModel):
    """Somebody to erase."""

    id: str = Field(title="Id of the person")
    confirmation: str = Field(title="The person's e-mail address, to be sure")


class DeletedRow(BaseModel):
    """Something that was deleted."""

    table: str = Field(title="Table", json_schema_extra={"choices": [*PARENTS]})
    id: str = Field(title="Id")


class JobName(BaseModel):
    """A maintenance job."""

    job: str = Field(title="Job", json_schema_extra={"choices": [job.name for job in JOBS]})


async def register(request: Request, data: AppRegistration) -> str:
    """Register an app; its secret is in the answer and nowhere else."""
    body = decode_body(_json(appId=data.appId, manifest=_document(data.manifest)), AppInput)
    with _placed(data.manifest):
        async with recorded(_actor(request), "register app"):
            _, secret = await register_app(body.appId, body.manifest)
    return f"Registered. The secret of {body.appId}, shown this once: {secret}"


async def publish(request: Request, data: AppRegistration) -> str:
    """Publish a version of an app."""
    body = decode_body(_json(manifest=_document(data.manifest)), AppChange)
    with _placed(data.manifest):
        async with recorded(_actor(request), "publish version"):
            row = await change_app(data.appId, manifest=body.manifest or None)
    return f"{data.appId} is at version {row['manifestVersion']}."


async def deprecate(request: Request, data: VersionDeprecation) -> str:
    """Take no new rooms on a version."""
    body = decode_body(_json(reason=data.reason), DeprecationInput)
    async with recorded(_actor(request), "deprecate version"):
        await deprecate_version(data.appId, data.version, body.reason)
    return f"Version {data.version} of {data.appId} takes no new rooms."


async def rotate_secret(request: Request, data: AppName) -> str:
    """Replace an app's secret."""
    async with recorded(_actor(request), "replace secret"):
        secret = await replace_secret(data.appId)
    return f"The new secret of {data.appId}, shown this once: {secret}"


async def revoke_sessions(request: Request, data: PersonAndReason) -> str:
    """Sign somebody out everywhere."""
    email = canonical_address(data.email)
    user_id = await fetchval("SELECT id FROM users WHERE email = $1", email)
    if user_id is None:
        raise NotFound("There is no such person.")
    body = decode_body(_json(userId=user_id, reason=data.reason), Revocation)
    async with recorded(_actor(request), "revoke sessions"):
        ended = await revoke_person(user_id, revoked_by=_actor(request), reason=body.reason)
    return f"{ended} session(s) of {email} ended."


async def open_webhook(request: Request, data: WebhookOpening) -> str:
    """Disable an endpoint of an app, or enable it again."""
    app_id = await fetchval('SELECT "appId" FROM webhooks WHERE id = $1', data.id)
    change = Change(is_active=data.isActive)
    await change_webhook(_actor(request), str(app_id), data.id, change)
    return f"{data.id} is {'told what happens' if data.isActive else 'disabled'}."


async def redeliver_event(request: Request, data: DeliveryName) -> str:
    """Send something to an endpoint again."""
    place = await fetchrow(
        'SELECT w.id, w."appId" FROM webhook_deliveries d JOIN webhooks w ON w.id = d."webhookId" '
        "WHERE d.id = $1",
        data.id,
    )
    if place is None:
        raise NotFound("There is no such delivery.")
    async with recorded(_actor(request), "redeliver"):
        row = await redeliver(place["appId"], place["id"], data.id)
    return f"{row['type']} is sent again."


async def administrate(request: Request, data: Administratorship) -> str:
    """Make or unmake a platform administrator."""
    async with recorded(_actor(request), "make administrator"):
        await set_platform_administrator(data.email, is_administrator=data.isAdmin)
    return f"{data.email} is {'a' if data.isAdmin else 'no'} platform administrator."


async def erase(request: Request, data: Erasure) -> str:
    """Erase somebody, deleted or not, whose address was typed as well."""
    email = await fetchval('SELECT email FROM users WHERE id = $1 AND "erasedAt" IS NULL', data.id)
    if email is None:
        raise NotFound("There is no such person, or they were erased.")
    if searched_address(data.confirmation) != email:
        raise Conflict("This is not the address of that person. Nothing was done.")
    await erase_user(data.id, by=_actor(request), spare_rooms=True)
    return f"{data.id} is erased."


async def restore(request: Request, data: DeletedRow) -> str:
    """Bring something deleted back."""
    await restore_row(_actor(request), data.table, data.id)
    return f"{data.table} {data.id} is back."


async def run_job(request: Request, data: JobName) -> str:
    """Run a maintenance job now, beside its schedule."""
    known = {job.name: job for job in jobs(settings().SCHEDULES)}
    if data.job not in known:
        raise NotFound(f"There is no such job. There are: {', '.join(known)}.")
    job = known[data.job]
    async with runs.exclusive(job) as connection:
        if connection is None:
            raise Conflict(f"{job.name} is running already.")
        ended = await runs.run(
            connection, job, None, clock=lambda: datetime.now(UTC), stopping=asyncio.Event()
        )
    # A job commits batch by batch on a connection of its own, so this is recorded by hand.
    await fetch(
        'INSERT INTO audit_log (actor, action, "tableName", "rowId") VALUES ($1, $2, $3, $4)',
        _actor(request),
        "run job",
        "task_runs",
        job.name,
    )
    return f"{job.name} {ended.outcome.lower()}: {ended.rows} row(s)."


def _actor(request: Request) -> str:
    name: str = request.user.display_name
    return name


def _json(**members: Any) -> bytes:
    return msgspec.json.encode(members)


def _document(text: str) -> Any:
    """Decode a manifest as it was typed.

    Raises:
        ValidationFailed: It is not JSON; names the line.
    """
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise ValidationFailed.at({place: f"This is not JSON. {error.msg}."}) from error
    except RecursionError:
        pass  # said by decode_any
    return decode_any(text.encode())


@contextmanager
def _placed(text: str) -> Iterator[None]:
    """Tell of each fault on which line of the text it is."""
    try:
        yield
    except AppError as error:
        for fault in error.details.get("faults") or error.details.get("changes") or ():
            fault["line"] = line_of(text, fault["pointer"])
        raise


FORMS = [
    FormConfig("Register an app", AppRegistration, register, "Shows its secret once.", APPS),
    FormConfig("Publish a version", AppRegistration, publish, "Greater than any before.", APPS),
    FormConfig("Deprecate a version", VersionDeprecation, deprecate, "No new rooms on it.", APPS),
    FormConfig("Rotate a secret", AppName, rotate_secret, "The old one is worth nothing.", APPS),
    FormConfig("Webhook", WebhookOpening, open_webhook, "Disable it, or enable it again.", APPS),
    FormConfig("Redeliver", DeliveryName, redeliver_event, "To a webhook, with its id.", APPS),
    FormConfig("Revoke sessions", PersonAndReason, revoke_sessions, "Signs out at once.", PEOPLE),
    FormConfig("Platform administrator", Administratorship, administrate, None, PEOPLE),
    FormConfig("Erase a person", Erasure, erase, "For good: nothing brings it back.", PEOPLE),
    FormConfig("Restore something deleted", DeletedRow, restore, None, OPERATIONS),
    FormConfig("Run a job now", JobName, run_job, None, OPERATIONS),
]

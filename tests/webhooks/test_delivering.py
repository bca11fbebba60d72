"""What happens in a room arrives at the app's endpoint, signed, until it was taken."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest
from standardwebhooks import WebhookVerificationError

from app.database.engine import fetch, fetchval
from app.webhooks.queueing import MOST_IN_FLIGHT
from tests import factories
from tests.waiting import eventually
from tests.webhooks.conftest import Hooks
from tests.webhooks.endpoint import Endpoint, answer, listening

pytestmark = pytest.mark.usefixtures("courier")


async def test_an_event_is_told_with_ids_alone_and_verified_by_the_library(
    hooks: Hooks, endpoint: Endpoint
) -> None:
    webhook = await hooks.add(endpoint)
    [prize] = await hooks.put_up()
    [delivery] = await hooks.until(1, status="DELIVERED")
    [said] = endpoint.verified(webhook["secret"])
    happened = await fetchval("SELECT id FROM events WHERE subject = $1", prize)
    assert said == {
        "type": "prize.created",
        "timestamp": said["timestamp"],
        "data": {"roomId": hooks.room["id"], "prizeId": prize},
    }
    assert endpoint.got[0].id == happened == delivery["eventId"]
    assert (delivery["attempts"], delivery["lastStatus"]) == (1, 204)


async def test_a_body_that_was_changed_on_the_way_is_not_verified(
    hooks: Hooks, endpoint: Endpoint
) -> None:
    webhook = await hooks.add(endpoint)
    await hooks.put_up()
    await hooks.until(1, status="DELIVERED")
    [request] = endpoint.got
    endpoint.got = [request._replace(body=request.body.replace(b"created", b"deleted"))]
    with pytest.raises(WebhookVerificationError):
        endpoint.verified(webhook["secret"])


async def test_an_endpoint_hears_the_events_that_it_wants_in_the_rooms_of_its_app_alone(
    hooks: Hooks, endpoint: Endpoint
) -> None:
    await hooks.add(endpoint, "prize.updated", "prize.deleted")
    await factories.prize((await factories.room())["id"])
    [prize] = await hooks.put_up()
    await fetch("UPDATE prizes SET name = 'Another' WHERE \"roomId\" <> $1", hooks.room["id"])
    await fetch("UPDATE prizes SET name = 'Another' WHERE id = $1", prize)
    await hooks.move()
    await hooks.until(1, status="DELIVERED")
    assert [each.said["data"] for each in endpoint.got] == [
        {"roomId": hooks.room["id"], "prizeId": prize}
    ]


async def test_both_secrets_sign_until_the_overlap_is_over(
    hooks: Hooks, endpoint: Endpoint
) -> None:
    webhook = await hooks.add(endpoint)
    rotated = await hooks.ask("POST", f"/{webhook['id']}/rotate")
    await hooks.put_up()
    await hooks.until(1, status="DELIVERED")
    assert len(endpoint.got[0].headers["webhook-signature"].split(" ")) == 2
    assert endpoint.verified(webhook["secret"]) == endpoint.verified(rotated["secret"])
    endpoint.got.clear()

    await fetch('UPDATE webhooks SET "formerUntil" = now()')
    await hooks.put_up()
    await hooks.until(2, status="DELIVERED")
    assert endpoint.verified(rotated["secret"])
    with pytest.raises(WebhookVerificationError):
        endpoint.verified(webhook["secret"])


async def test_after_a_leak_the_secret_before_signs_nothing(
    hooks: Hooks, endpoint: Endpoint
) -> None:
    webhook = await hooks.add(endpoint)
    await hooks.ask("POST", f"/{webhook['id']}/rotate", {"overlapHours": 0})
    await hooks.ask("POST", f"/{webhook['id']}/test")
    await hooks.until(1, status="DELIVERED")
    with pytest.raises(WebhookVerificationError):
        endpoint.verified(webhook["secret"])


async def test_secrets_are_encrypted_at_rest(hooks: Hooks, endpoint: Endpoint) -> None:
    webhook = await hooks.add(endpoint)
    rotated = await hooks.ask("POST", f"/{webhook['id']}/rotate")
    kept = str(await fetch("SELECT * FROM webhooks"))
    assert webhook["secret"].removeprefix("whsec_") not in kept
    assert rotated["secret"].removeprefix("whsec_") not in kept


async def test_what_fails_is_sent_again_with_the_same_id(hooks: Hooks, endpoint: Endpoint) -> None:
    webhook = await hooks.add(endpoint)
    endpoint.answer = answer(500)
    await hooks.put_up()
    [put_off] = await hooks.until(1, status="PENDING", lastStatus=500, claimedUntil=None)
    wait = await fetchval('SELECT "nextAttemptAt" - now() FROM webhook_deliveries')
    assert timedelta(seconds=4) < wait <= timedelta(seconds=5)
    shown = await hooks.ask("GET", f"/{webhook['id']}")
    assert shown["failingSince"] is not None

    endpoint.answer = answer(200)
    await fetch('UPDATE webhook_deliveries SET "nextAttemptAt" = now()')
    [delivered] = await hooks.until(1, status="DELIVERED")
    assert [each.id for each in endpoint.got] == [put_off["eventId"]] * 2
    assert delivered["attempts"] == 2
    assert endpoint.got[0].body == endpoint.got[1].body
    assert (await hooks.ask("GET", f"/{webhook['id']}"))["failingSince"] is None


async def test_an_endpoint_that_wants_to_be_left_alone_is(hooks: Hooks, endpoint: Endpoint) -> None:
    await hooks.add(endpoint)
    endpoint.answer = answer(503, "Retry-After: 600")
    await hooks.put_up()
    await hooks.until(1, status="PENDING", lastStatus=503, claimedUntil=None)
    wait = await fetchval('SELECT "nextAttemptAt" - now() FROM webhook_deliveries')
    assert timedelta(seconds=590) < wait <= timedelta(seconds=600)


async def test_the_last_attempt_is_the_tenth(hooks: Hooks, endpoint: Endpoint) -> None:
    await hooks.add(endpoint)
    endpoint.answer = answer(500)
    await hooks.put_up()
    await hooks.until(1, status="PENDING", lastStatus=500, claimedUntil=None)
    await fetch('UPDATE webhook_deliveries SET attempts = 9, "nextAttemptAt" = now()')
    [failed] = await hooks.until(1, status="FAILED")
    assert (failed["attempts"], failed["lastError"]) == (10, "Answered 500.")


async def test_410_disables_the_endpoint_and_says_so(
    hooks: Hooks, endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    webhook = await hooks.add(endpoint)
    endpoint.answer = answer(410)
    await hooks.put_up(3)

    async def is_disabled() -> bool:
        return bool((await hooks.ask("GET", f"/{webhook['id']}"))["disabledReason"] == "GONE")

    await eventually(is_disabled, 10)
    await hooks.until(3, status="FAILED")
    assert f"webhook {webhook['id']} of {hooks.app['appId']} is disabled (GONE)" in caplog.text
    sent = len(endpoint.got)
    await hooks.put_up()
    await asyncio.sleep(0.3)
    assert len(endpoint.got) == sent


async def test_five_days_of_failures_disable_and_recover_brings_back_what_was_missed(
    hooks: Hooks, endpoint: Endpoint
) -> None:
    webhook = await hooks.add(endpoint)
    path = f"/{webhook['id']}"
    endpoint.answer = answer(500)
    [prize] = await hooks.put_up()
    await hooks.until(1, status="PENDING", lastStatus=500, claimedUntil=None)
    await fetch("UPDATE webhooks SET \"failingSince\" = now() - interval '5 days'")
    await fetch('UPDATE webhook_deliveries SET "nextAttemptAt" = now()')
    await hooks.until(1, status="FAILED", lastError="The endpoint was disabled.")
    assert (await hooks.ask("GET", path))["disabledReason"] == "FAILING"
    assert (await hooks.request("POST", f"{path}/test")).status_code == 409
    meanwhile = await hooks.put_up(2)

    endpoint.answer = answer(200)
    endpoint.got.clear()
    enabled = await hooks.ask("PATCH", path, {"isActive": True})
    assert (enabled["isActive"], enabled["failingSince"]) == (True, None)
    since = {"since": webhook["createdAt"]}

    async def has_read_on() -> bool:
        return bool(
            await fetchval(
                "SELECT position = (SELECT max(position) FROM events) FROM webhook_cursor"
            )
        )

    await eventually(has_read_on, 10)
    assert await hooks.ask("POST", f"{path}/recover", since) == {"count": 3}
    await hooks.until(3, status="DELIVERED")
    assert {each.said["data"]["prizeId"] for each in endpoint.got} == {prize, *meanwhile}
    assert await hooks.ask("POST", f"{path}/recover", since) == {"count": 0}


async def test_redelivering_sends_the_same_again(hooks: Hooks, endpoint: Endpoint) -> None:
    webhook = await hooks.add(endpoint)
    await hooks.put_up()
    [delivery] = await hooks.until(1, status="DELIVERED")
    path = f"/{webhook['id']}/deliveries/{delivery['id']}/redeliver"
    assert (await hooks.ask("POST", path))["status"] == "PENDING"
    await hooks.until(1, status="DELIVERED")
    assert [each.id for each in endpoint.got] == [delivery["eventId"]] * 2
    assert endpoint.got[0].body == endpoint.got[1].body


async def test_an_endpoint_that_hangs_costs_others_nothing_and_has_a_limit(
    hooks: Hooks, endpoint: Endpoint
) -> None:
    async def hang(_: object) -> None:
        await asyncio.sleep(60)

    async with listening() as dead:
        dead.answer = hang
        await hooks.add(dead)
        await hooks.add(endpoint)
        started = asyncio.get_running_loop().time()
        await hooks.put_up(3 * MOST_IN_FLIGHT)
        await hooks.until(3 * MOST_IN_FLIGHT, status="DELIVERED")
        assert asyncio.get_running_loop().time() - started < 5
        assert len(endpoint.got) == 3 * MOST_IN_FLIGHT
        assert endpoint.most_in_flight <= MOST_IN_FLIGHT
        assert dead.in_flight == dead.most_in_flight == MOST_IN_FLIGHT


async def test_a_secret_that_cannot_be_read_is_told(hooks: Hooks, endpoint: Endpoint) -> None:
    await hooks.add(endpoint)
    await fetch("UPDATE webhooks SET secret = 'of another key'")
    await hooks.put_up()
    reason = "Its secret can't be read: rotate it."
    await hooks.until(1, status="PENDING", lastError=reason, claimedUntil=None)
    assert not endpoint.got


async def test_pulling_tells_the_same(
    hooks: Hooks, endpoint: Endpoint, client: httpx.AsyncClient
) -> None:
    webhook = await hooks.add(endpoint)
    await hooks.put_up(3)
    await hooks.until(3, status="DELIVERED")
    await fetch("INSERT INTO event_log (id, epoch) VALUES (1, 'abc') ON CONFLICT DO NOTHING")
    path = f"/api/v1/apps/{hooks.app['appId']}/events"
    pulled: list[dict[str, Any]] = []
    after = None
    while True:
        query = {"limit": "2", "types": "prize.created"} | ({"after": after} if after else {})
        page = (await client.get(path, params=query, headers=hooks.headers)).json()
        assert not page["meta"]["hasGap"]
        pulled += page["data"]
        after = page["meta"]["after"]
        if not page["meta"]["hasMore"]:
            break
    assert {each.pop("id"): each for each in pulled} == {
        request.id: said
        for request, said in zip(endpoint.got, endpoint.verified(webhook["secret"]), strict=True)
    }
    restored = await client.get(path, params={"after": "other-1"}, headers=hooks.headers)
    assert restored.json()["meta"]["hasGap"]

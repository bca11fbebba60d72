"""A quiz in a room of its own."""

import httpx
import pytest

from tests.rounds.scene import Player, Quiz


@pytest.fixture
async def quiz(client: httpx.AsyncClient) -> Quiz:
    return await Quiz(client).open()


@pytest.fixture
async def player(quiz: Quiz) -> Player:
    return await quiz.player()

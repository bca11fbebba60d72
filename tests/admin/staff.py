"""An administrator, and how to sign in as curl would."""

import httpx

NAME = "carol"
PASSWORD = "a long enough passphrase"
LOGIN = "/admin/public/login/"


async def sign_in(client: httpx.AsyncClient, password: str = PASSWORD) -> httpx.Response:
    """Sign in; from then on the client sends its cookies and the CSRF token."""
    await client.get("/admin/")
    client.headers["X-CSRFToken"] = client.cookies["csrftoken"]
    return await client.post(LOGIN, json={"username": NAME, "password": password})


def row_url(table: str, row_id: object) -> str:
    return f"/admin/api/tables/{table}/{row_id}/"

"""A FastAPI back end whose users upload to Windlass.

It hands out a URL that takes one upload (a grant), so that bytes never pass through it, and learns by a webhook when
the file is ready. It keeps what it knows in memory; a real one has a table with a unique column for the webhook's ids.
"""

import os
import uuid
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
from fastapi import FastAPI, HTTPException, Request, Response
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

WINDLASS = os.environ.get("WINDLASS_SERVER", "http://127.0.0.1:8000")
TOKEN = os.environ["WINDLASS_TOKEN"]
#: The address at which Windlass reaches this application.
ADDRESS = os.environ.get("APP_ADDRESS", "http://127.0.0.1:9000")


@dataclass
class State:
    orders: dict[str, dict[str, str]] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    webhook: Webhook | None = None


state = State()
windlass = httpx.AsyncClient(base_url=WINDLASS, headers={"Authorization": f"Bearer {TOKEN}"})


async def ask(method: str, path: str, **options):
    reply = await windlass.request(method, path, **options)
    if reply.is_error:
        raise HTTPException(502, f"Windlass answered: {reply.text}")
    return reply.json() if reply.content else None


@asynccontextmanager
async def lifespan(app: FastAPI):
    """Create a webhook for as long as the application runs. Its secret is shown once, in the reply."""
    wanted = {"url": f"{ADDRESS}/webhook", "types": ["file.ready", "file.rejected", "file.quarantined", "file.failed"]}
    created = await ask("POST", "/api/v1/webhooks/", json=wanted)
    state.webhook = Webhook(created["secret"])
    yield
    await ask("DELETE", f"/api/v1/webhooks/{created['id']}")
    await windlass.aclose()


app = FastAPI(lifespan=lifespan)


@app.post("/orders", status_code=201)
async def add_order():
    """A new order, and the URL that takes its one file, in any protocol: tus, a form, or the bytes as the body."""
    order = uuid.uuid4().hex
    grant = await ask("POST", "/uploads/grants/", json={"profile": "default", "reference": order})
    state.orders[order] = {"status": "waiting for its file"}
    return {"order": order, "upload_url": grant["url"], "expires_at": grant["expires_at"]}


@app.get("/orders/{order}")
async def show_order(order: str):
    if order not in state.orders:
        raise HTTPException(404, "There is no such order.")
    return state.orders[order]


@app.post("/webhook", status_code=204)
async def receive(request: Request) -> Response:
    """Verify the signature of the body as it was received. Each event may come more than once, with the same id."""
    assert state.webhook is not None
    try:
        event = state.webhook.verify(await request.body(), dict(request.headers))
    except WebhookVerificationError:
        return Response(status_code=400)
    if request.headers["webhook-id"] not in state.seen:
        await note(event)
        state.seen.add(request.headers["webhook-id"])
    return Response(status_code=204)


async def note(event) -> None:
    file = await ask("GET", f"/files/{event['file_id']}/")
    order = state.orders.get(file["reference"])
    if order is not None:
        order |= {"status": event["type"].removeprefix("file."), "file": file["id"], "name": file["original_filename"]}

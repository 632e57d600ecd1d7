"""Take what talkspurt tells of calls (Standard Webhooks): `python examples/webhook_receiver.py whsec_... 9000`."""

import sys

from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

seen: set[str] = set()  # a message may come twice: keep the ids of those you have where they outlive the process


async def receive(request: web.Request) -> web.Response:
    """Answer 204 to what is signed with our secret, 401 to anything else."""
    try:
        message = Webhook(sys.argv[1]).verify(await request.read(), dict(request.headers))
    except (WebhookVerificationError, ValueError):
        return web.Response(status=401)
    if request.headers["webhook-id"] not in seen:
        seen.add(request.headers["webhook-id"])
        print(message["type"], message["data"]["call_id"], flush=True)
    return web.Response(status=204)


if __name__ == "__main__":
    app = web.Application()
    app.add_routes([web.post("/", receive)])
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[2]))

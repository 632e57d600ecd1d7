"""An MCP server whose texts are no UTF-8, for tests of talkspurt as its client: it writes its JSON by hand."""

import json
import sys
from typing import Any

NO_TEXT = b"\xff"


def answer(request: dict[str, Any]) -> dict[str, Any]:
    match request["method"]:
        case "initialize":
            version = request["params"]["protocolVersion"]
            about = {"name": "bytes", "version": "1"}
            return {"result": {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": about}}
        case "tools/list":
            offered = {"name": "read", "description": "Read NO_TEXT.", "inputSchema": {"type": "object"}}
            return {"result": {"tools": [offered]}}
        case "tools/call":
            return {"result": {"content": [{"type": "text", "text": "NO_TEXT"}]}}
        case _:
            return {"error": {"code": -32601, "message": "there is no such method"}}


for line in sys.stdin:
    request = json.loads(line)
    if "id" in request:
        told = json.dumps({"jsonrpc": "2.0", "id": request["id"], **answer(request)}).encode()
        sys.stdout.buffer.write(told.replace(b"NO_TEXT", NO_TEXT) + b"\n")
        sys.stdout.buffer.flush()

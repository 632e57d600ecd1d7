"""An MCP server written by hand, for what the official SDK would not let a server do; the argument says what."""

import json
import sys
import time
from typing import Any

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
NO_SCHEMA = {"name": "ping", "description": "Answer."}
PLAIN = {**NO_SCHEMA, "inputSchema": {"type": "object", "properties": {"n": {"enum": [1, 2], "type": "integer"}}}}
NODE = {"type": "object", "properties": {"next": {"$ref": "#"}}}


def listing(cursor: str | None) -> dict[str, Any]:
    match FAULT:
        case "names":
            names = ["files/read", "files read", "1st", "größe", "天気", "x" * 80, "", "fine", "fine"]
            return {"tools": [{**PLAIN, "name": name} for name in names]}
        case "same-cursor":
            return {"tools": [PLAIN], "nextCursor": "again"}
        case "empty-cursor":
            return {"tools": [PLAIN], "nextCursor": ""}
        case "endless":
            page = int(cursor or 0)
            return {"tools": [{**PLAIN, "name": f"ping{page}"}], "nextCursor": str(page + 1)}
        case "no-schema":
            bad: list[Any] = [NO_SCHEMA, {**PLAIN, "name": "null", "inputSchema": None}, {"name": 3}, "no tool"]
            return {
                "tools": [*bad, {**PLAIN, "name": "odd", "description": None, "annotations": 7, "outputSchema": []}]
            }
        case "recursive":
            return {"tools": [{**PLAIN, "name": "walk", "inputSchema": NODE}]}
        case "dangling":
            odd = {"type": "object", "properties": {"p": {"$ref": "#/definitions/P"}}}
            return {"tools": [{**PLAIN, "name": "walk", "inputSchema": odd}]}
        case "no-tools":
            return {"utensils": []}
        case _:
            return {"tools": [PLAIN]}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    method, params = request["method"], request.get("params") or {}
    if method == "initialize":
        if FAULT == "version":
            return {
                "result": {
                    "protocolVersion": "1999-01-01",
                    "capabilities": {},
                    "serverInfo": {"name": "o", "version": "1"},
                }
            }
        version = params["protocolVersion"]
        info = {"name": "odd", "version": "1"}
        return {"result": {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}}
    if method == "tools/list":
        if FAULT == "hang":
            time.sleep(60)
        if FAULT == "exit":
            sys.exit(3)
        if FAULT == "error":
            return {"error": {"code": -32603, "message": "the database\nis gone"}}
        return {"result": listing(params.get("cursor"))}
    if method == "tools/call":
        text = json.dumps([params["name"], params.get("arguments")], ensure_ascii=False)
        return {"result": {"content": [{"type": "text", "text": text}]}}
    return {"error": {"code": -32601, "message": "unknown method"}}


for line in sys.stdin:
    if FAULT == "garbage":
        print("Server listening, have a nice day", flush=True)
        continue
    if FAULT == "banner":
        print("Server listening, have a nice day", flush=True)
    request = json.loads(line)
    if "id" in request:
        print(json.dumps({"jsonrpc": "2.0", "id": request["id"], **answer(request)}), flush=True)

"""Calls tools with the Python SDK. Reads one JSON job from standard input, prints one JSON report.

job:    {"url", "token", "mode": "auto" | "legacy", "calls": [{"name", "arguments"}]}
report: {"negotiated", "tools": [name], "calls": [{"name", "is_error", "text", "meta", "said"}]}

`said` is what the server said while the tool ran: "progress 1/2", "log <text>". What a server asks is
answered: with the text "a model's answer", with the user "somebody", with the folder "file:///here".
"""

import asyncio
import json
import sys

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CreateMessageResult, ElicitResult, ListRootsResult, Root, TextContent

DEADLINE_S = 30


async def work(job: dict) -> dict:
    headers = {"Authorization": f"Bearer {job['token']}"}
    async with httpx2.AsyncClient(headers=headers, timeout=DEADLINE_S) as http:
        said: list[str] = []

        async def hear(message) -> None:
            said.append(f"log {message.data}")

        async with Client(
            streamable_http_client(job["url"], http_client=http),
            mode=job["mode"],
            log_level="info",
            logging_callback=hear,
            sampling_callback=sample,
            elicitation_callback=elicit,
            list_roots_callback=list_roots,
        ) as client:
            tools = [tool.name for tool in (await client.list_tools()).tools]
            calls = [await call(client, one, said) for one in job["calls"]]
            return {"negotiated": client.protocol_version, "tools": tools, "calls": calls}


async def call(client: Client, one: dict, said: list[str]) -> dict:
    async def progress(now: float, total: float | None, _message: str | None) -> None:
        said.append(f"progress {now:g}/{total:g}")

    said.clear()
    result = await client.call_tool(one["name"], one["arguments"], progress_callback=progress)
    text = "".join(block.text for block in result.content if block.type == "text")
    meta = dict(result.meta or {})
    return {"name": one["name"], "is_error": bool(result.is_error), "text": text, "meta": meta, "said": list(said)}


async def sample(_context, _params) -> CreateMessageResult:
    text = TextContent(type="text", text="a model's answer")
    return CreateMessageResult(role="assistant", content=text, model="none")


async def elicit(_context, _params) -> ElicitResult:
    return ElicitResult(action="accept", content={"username": "somebody", "email": "somebody@example.com"})


async def list_roots(_context) -> ListRootsResult:
    return ListRootsResult(roots=[Root(uri="file:///here")])


print(json.dumps(asyncio.run(work(json.load(sys.stdin)))))

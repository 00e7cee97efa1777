"""Calls tools with the Python SDK. Reads one JSON job from standard input, prints one JSON report.

job:    {"url", "token", "mode": "auto" | "legacy", "calls": [{"name", "arguments"}]}
report: {"negotiated", "tools": [name], "calls": [{"name", "is_error", "text", "meta"}]}
"""

import asyncio
import json
import sys

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

DEADLINE_S = 30


async def work(job: dict) -> dict:
    headers = {"Authorization": f"Bearer {job['token']}"}
    async with httpx2.AsyncClient(headers=headers, timeout=DEADLINE_S) as http:
        async with Client(streamable_http_client(job["url"], http_client=http), mode=job["mode"]) as client:
            tools = [tool.name for tool in (await client.list_tools()).tools]
            calls = [await call(client, one) for one in job["calls"]]
            return {"negotiated": client.protocol_version, "tools": tools, "calls": calls}


async def call(client: Client, one: dict) -> dict:
    result = await client.call_tool(one["name"], one["arguments"])
    text = "".join(block.text for block in result.content if block.type == "text")
    return {"name": one["name"], "is_error": bool(result.is_error), "text": text, "meta": dict(result.meta or {})}


print(json.dumps(asyncio.run(work(json.load(sys.stdin)))))

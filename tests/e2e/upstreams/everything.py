"""An MCP server with one tool of each kind, for tests of what passes through a gateway unharmed.

    everything.py [CERTIFICATE KEY]

With the files of a certificate and its key it speaks https, as localhost. Speaks both eras in one process: 2026-07-28 and the versions with sessions. Prints one JSON line with
its addresses when it listens, on loopback and on a port that the system chose; ends when its standard
input ends. GET /executions answers how often each tool ran: {"<tool>": count}.
"""

import asyncio
import base64
import collections
import functools
import inspect
import json
import os
import socket
import struct
import sys
import threading
import zlib
from typing import Annotated, Literal

import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver import Audio, Context, Elicit, ElicitationResult, Image, ListRoots, Resolve, Sample
from mcp.server.mcpserver import UserMessage
from mcp_types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    Completion,
    CreateMessageResult,
    EmbeddedResource,
    ImageContent,
    ListRootsResult,
    SamplingMessage,
    TextContent,
    TextResourceContents,
)
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse

LOG_INTERVAL_S = 0.05

server = MCPServer("everything", version="1.0.0")
executions: collections.Counter[str] = collections.Counter()


def tool(**options):
    """Registers a tool whose runs are counted under its name."""

    def register(run):
        @functools.wraps(run)
        async def counted(*args, **kwargs):
            executions[run.__name__] += 1
            result = run(*args, **kwargs)
            return await result if inspect.isawaitable(result) else result

        server.tool(**options)(counted)
        return run

    return register


def one_pixel_png() -> bytes:
    """A red pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\x00\xff\x00\x00")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def silent_wav() -> bytes:
    """Eight samples of silence."""
    samples = b"\x80" * 8
    form = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 8000, 1, 8)
    body = form + b"data" + struct.pack("<I", len(samples)) + samples
    return b"RIFF" + struct.pack("<I", len(body)) + body


PNG = one_pixel_png()
WAV = silent_wav()


def text_resource(uri: str, text: str) -> EmbeddedResource:
    contents = TextResourceContents(uri=uri, mime_type="text/plain", text=text)
    return EmbeddedResource(type="resource", resource=contents)


# === tools that answer content ===


@tool()
def test_simple_text() -> str:
    """Answers with one text."""
    return "This is a simple text response for testing."


@tool()
def echo(message: str) -> str:
    """Answers with what it was given."""
    return f"Echo: {message}"


@tool()
def test_image_content() -> ImageContent:
    """Answers with an image."""
    return Image(data=PNG, format="png").to_image_content()


@tool()
def test_audio_content() -> AudioContent:
    """Answers with a sound."""
    return Audio(data=WAV, format="wav").to_audio_content()


@tool()
def test_embedded_resource() -> EmbeddedResource:
    """Answers with a resource inside."""
    return text_resource("test://embedded-resource", "This is an embedded resource content.")


@tool(structured_output=False)
def test_multiple_content_types() -> list[TextContent | ImageContent | EmbeddedResource]:
    """Answers with a text, an image and a resource."""
    return [
        TextContent(type="text", text="Multiple content types test:"),
        Image(data=PNG, format="png").to_image_content(),
        text_resource("test://mixed-content-resource", '{"test":"data"}'),
    ]


@tool()
def test_error_handling() -> CallToolResult:
    """Fails."""
    text = TextContent(type="text", text="This tool intentionally returns an error for testing")
    return CallToolResult(content=[text], is_error=True)


class Address(BaseModel):
    street: str | None = None
    city: str | None = None


@tool()
def json_schema_2020_12_tool(
    name: Annotated[str | None, Field(default=None)] = None,
    address: Annotated[Address | None, Field(default=None)] = None,
) -> str:
    """Has a schema with definitions and references."""
    return f"JSON Schema 2020-12 tool called with: {name} {address}"


# === tools that say something while they run ===


@tool()
async def test_tool_with_logging(ctx: Context) -> str:
    """Logs three messages."""
    for message in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await ctx.info(message)
        await asyncio.sleep(LOG_INTERVAL_S)
    return "Tool with logging executed successfully"


@tool()
async def wait(seconds: float) -> str:
    """Takes its time."""
    await asyncio.sleep(seconds)
    return f"Waited for {seconds} s"


@tool()
async def test_tool_with_progress(ctx: Context) -> str:
    """Reports progress three times."""
    for progress in (0, 50, 100):
        await ctx.report_progress(progress, 100, f"Completed step {progress} of 100")
        await asyncio.sleep(LOG_INTERVAL_S)
    return "Tool with progress executed successfully"


# === tools that ask the client ===


class Account(BaseModel):
    username: str = Field(description="User's response")
    email: str = Field(description="User's email address")


class Defaults(BaseModel):
    name: str = "John Doe"
    age: int = 30
    score: float = 95.5
    status: Literal["active", "inactive", "pending"] = "active"
    verified: bool = True


def ask_account(message: str) -> Elicit[Account]:
    return Elicit(message, Account)


def ask_defaults() -> Elicit[Defaults]:
    return Elicit("Please review and update the form fields with defaults", Defaults)


def ask_model(prompt: str) -> Sample:
    message = SamplingMessage(role="user", content=TextContent(type="text", text=prompt))
    return Sample([message], max_tokens=100)


@tool()
def test_elicitation(message: str, answer: Annotated[ElicitationResult[Account], Resolve(ask_account)]) -> str:
    """Asks the user for a name and an address."""
    return f"User response: {answer.model_dump_json()}"


@tool()
def test_elicitation_sep1034_defaults(answer: Annotated[ElicitationResult[Defaults], Resolve(ask_defaults)]) -> str:
    """Asks the user with defaults in the form."""
    return f"Elicitation completed: {answer.model_dump_json()}"


@tool()
def test_sampling(prompt: str, answer: Annotated[CreateMessageResult, Resolve(ask_model)]) -> str:
    """Asks the client's model."""
    return f"LLM response: {answer.model_dump_json()}"


@tool()
def test_input_required_result_list_roots(roots: Annotated[ListRootsResult, Resolve(lambda: ListRoots())]) -> str:
    """Asks for the client's folders."""
    return f"Roots: {[str(root.uri) for root in roots.roots]}"


# === resources, prompts, completion ===


@server.resource("test://static-text", mime_type="text/plain")
def static_text() -> str:
    """A text that does not change."""
    return "This is the content of the static text resource."


@server.resource("test://static-binary", mime_type="image/png")
def static_binary() -> bytes:
    """An image that does not change."""
    return PNG


@server.resource("test://watched-resource", mime_type="text/plain")
def watched_resource() -> str:
    """A text that may be subscribed to."""
    return "Watched resource content"


@server.resource("test://template/{id}/data", mime_type="application/json")
def template(id: str) -> str:
    """One resource for each id."""
    return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})


@server.prompt()
def test_simple_prompt() -> str:
    """A prompt without arguments."""
    return "This is a simple prompt for testing."


@server.prompt()
def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
    """A prompt with two arguments."""
    return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"


@server.prompt()
def test_prompt_with_embedded_resource(resourceUri: str) -> list[UserMessage]:
    """A prompt with a resource inside."""
    return [
        UserMessage(content=text_resource(resourceUri, "Embedded resource content for testing.")),
        UserMessage(content=TextContent(type="text", text="Please process the embedded resource above.")),
    ]


@server.prompt()
def test_prompt_with_image() -> list[UserMessage]:
    """A prompt with an image inside."""
    return [
        UserMessage(content=Image(data=PNG, format="png").to_image_content()),
        UserMessage(content=TextContent(type="text", text="Please analyze the image above.")),
    ]


@server.completion()
async def complete(ref, argument, context) -> Completion:
    """Completes with every value that begins like the argument."""
    values = [value for value in ("paris", "park", "party") if value.startswith(argument.value)]
    return Completion(values=values, total=len(values), has_more=False)


# === the process ===


@server.custom_route("/executions", methods=["GET"])
async def count_executions(_request: Request) -> JSONResponse:
    return JSONResponse(dict(sorted(executions.items())))


def end_with_input() -> None:
    """Ends the process when whoever started it is gone."""
    sys.stdin.buffer.read()
    os._exit(0)


def main() -> None:
    threading.Thread(target=end_with_input, daemon=True).start()
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    certificate, key = sys.argv[1:] or (None, None)
    host = "https://localhost" if certificate else "http://127.0.0.1"
    origin = f"{host}:{listener.getsockname()[1]}"
    print(json.dumps({"url": f"{origin}/mcp", "executions": f"{origin}/executions"}), flush=True)
    app = server.streamable_http_app()
    config = uvicorn.Config(app, log_level="warning", ssl_certfile=certificate, ssl_keyfile=key)
    asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))


main()

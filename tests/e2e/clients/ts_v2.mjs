// Calls tools with version 2 of the TypeScript SDK.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { answers, capabilities, hear, job, requestInit, work } from './job.mjs';

const resolve = createRequire(`${process.env.NODE_PATH}/`).resolve;
const { Client, StreamableHTTPClientTransport } = await import(pathToFileURL(resolve('@modelcontextprotocol/client')).href);

const transport = new StreamableHTTPClientTransport(new URL(job.url), { requestInit });
const versionNegotiation = { mode: job.mode };
const client = new Client({ name: 'quotum-e2e', version: '1.0.0' }, { capabilities, versionNegotiation });
for (const [method, answer] of Object.entries(answers)) client.setRequestHandler(method, () => answer);
client.setNotificationHandler('notifications/message', hear);
await client.connect(transport);
const negotiated = () => client.getNegotiatedProtocolVersion?.() ?? transport.protocolVersion;
// The newest version has no request that sets the level: each call asks for messages itself.
const _meta = { 'io.modelcontextprotocol/logLevel': 'info' };
await work(client, negotiated, (call, options) => client.callTool({ ...call, _meta }, options));

// Calls tools with version 2 of the TypeScript SDK.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { job, requestInit, work } from './job.mjs';

const resolve = createRequire(`${process.env.NODE_PATH}/`).resolve;
const { Client, StreamableHTTPClientTransport } = await import(pathToFileURL(resolve('@modelcontextprotocol/client')).href);

const transport = new StreamableHTTPClientTransport(new URL(job.url), { requestInit });
const versionNegotiation = { mode: job.mode };
const client = new Client({ name: 'quotum-e2e', version: '1.0.0' }, { capabilities: {}, versionNegotiation });
await client.connect(transport);
await work(client, () => client.getNegotiatedProtocolVersion?.() ?? transport.protocolVersion);

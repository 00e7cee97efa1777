// Calls tools with version 1 of the TypeScript SDK.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { answers, capabilities, hear, job, requestInit, work } from './job.mjs';

const resolve = createRequire(`${process.env.NODE_PATH}/`).resolve;
const load = (name) => import(pathToFileURL(resolve(name)).href);
const { Client } = await load('@modelcontextprotocol/sdk/client/index.js');
const { StreamableHTTPClientTransport } = await load('@modelcontextprotocol/sdk/client/streamableHttp.js');
const types = await load('@modelcontextprotocol/sdk/types.js');

const transport = new StreamableHTTPClientTransport(new URL(job.url), { requestInit });
const client = new Client({ name: 'quotum-e2e', version: '1.0.0' }, { capabilities });
const asked = [types.CreateMessageRequestSchema, types.ElicitRequestSchema, types.ListRootsRequestSchema];
for (const schema of asked) client.setRequestHandler(schema, ({ method }) => answers[method]);
client.setNotificationHandler(types.LoggingMessageNotificationSchema, hear);
await client.connect(transport);
await work(client, () => transport.protocolVersion, (call, options) => client.callTool(call, undefined, options));

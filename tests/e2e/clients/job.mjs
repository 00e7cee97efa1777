// The job that each JavaScript client does: the same as client.py, which says what goes in and out.
import { text } from 'node:stream/consumers';

export const job = JSON.parse(await text(process.stdin));

export const requestInit = { headers: { Authorization: `Bearer ${job.token}` } };

// Lists the tools, makes the calls and prints the report.
export async function work(client, negotiated) {
  const tools = (await client.listTools()).tools.map((tool) => tool.name);
  const calls = [];
  for (const { name, arguments: args } of job.calls) {
    const result = await client.callTool({ name, arguments: args });
    const texts = result.content.filter((block) => block.type === 'text').map((block) => block.text);
    calls.push({ name, is_error: result.isError ?? false, text: texts.join(''), meta: result._meta ?? {} });
  }
  await client.close();
  console.log(JSON.stringify({ negotiated: negotiated(), tools, calls }));
}

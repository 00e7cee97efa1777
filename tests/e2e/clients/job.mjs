// The job that each JavaScript client does: the same as client.py, which says what goes in and out.
import { text } from 'node:stream/consumers';

export const job = JSON.parse(await text(process.stdin));

export const requestInit = { headers: { Authorization: `Bearer ${job.token}` } };

// What a client says that it can answer.
export const capabilities = { sampling: {}, elicitation: {}, roots: {} };

// What it answers, by method.
export const answers = {
  'sampling/createMessage': { role: 'assistant', content: { type: 'text', text: "a model's answer" }, model: 'none' },
  'elicitation/create': { action: 'accept', content: { username: 'somebody', email: 'somebody@example.com' } },
  'roots/list': { roots: [{ uri: 'file:///here' }] },
};

// What the server has said since the last call began.
const said = [];

export const hear = (notification) => said.push(`log ${notification.params.data}`);

// Lists the tools, makes the calls and prints the report. `call` is the client's own way to call.
export async function work(client, negotiated, call) {
  const tools = (await client.listTools()).tools.map((tool) => tool.name);
  const calls = [];
  for (const { name, arguments: args } of job.calls) {
    said.length = 0;
    const onprogress = ({ progress, total }) => said.push(`progress ${progress}/${total}`);
    const result = await call({ name, arguments: args }, { onprogress });
    const texts = result.content.filter((block) => block.type === 'text').map((block) => block.text);
    const heard = [...said];
    calls.push({ name, is_error: result.isError ?? false, text: texts.join(''), meta: result._meta ?? {}, said: heard });
  }
  await client.close();
  console.log(JSON.stringify({ negotiated: negotiated(), tools, calls }));
}

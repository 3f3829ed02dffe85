// Calls maxrelay with OpenAI's own client, as its documentation shows, and prints what came back as one JSON object.
//
//   BASE_URL=http://127.0.0.1:3456/v1 node openai.mjs
import OpenAI from 'openai';

const client = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: 'not-needed', maxRetries: 0 });
const model = 'claude-sonnet-4';
const messages = [
  { role: 'system', content: 'Be brief.' },
  { role: 'user', content: [{ type: 'text', text: 'Hello' }] },
];

const out = {};

const { data: whole, response } = await client.chat.completions.create({ model, messages }).withResponse();
out.whole = { text: whole.choices[0].message.content, finish: whole.choices[0].finish_reason, usage: whole.usage, model: whole.model,
  session: response.headers.get('x-maxrelay-session'), requestId: whole._request_id };

const stream = await client.chat.completions.create({ model, messages, stream: true, stream_options: { include_usage: true } });
out.stream = { text: '', chunks: 0 };
for await (const chunk of stream) {
  out.stream.chunks++;
  out.stream.text += chunk.choices[0]?.delta?.content ?? '';
  out.stream.finish = chunk.choices[0]?.finish_reason ?? out.stream.finish;
  out.stream.usage = chunk.usage ?? out.stream.usage;
}

const helper = client.chat.completions.stream({ model, messages });
out.helper = { text: await helper.finalContent() };

out.models = (await client.models.list()).data.map((m) => m.id);
out.model = (await client.models.retrieve(model)).id;

try {
  await client.chat.completions.create({ model: 'no-such-model', messages });
} catch (e) {
  out.unknownModel = { name: e.constructor.name, status: e.status, code: e.code, type: e.type };
}
try {
  await client.chat.completions.create({ model, messages: [{ role: 'user', content: 7 }] });
} catch (e) {
  out.badMessage = { name: e.constructor.name, status: e.status, param: e.param, type: e.type };
}

const leaving = new AbortController();
const cut = await client.chat.completions.create({ model, messages, stream: true }, { signal: leaving.signal });
for await (const chunk of cut) if (chunk.choices[0]?.delta?.content) leaving.abort();
out.aborted = leaving.signal.aborted;

console.log(JSON.stringify(out));

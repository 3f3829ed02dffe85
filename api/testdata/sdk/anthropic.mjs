// Calls maxrelay with Anthropic's own client, as its documentation shows, and prints what came back as one JSON object.
//
//   BASE_URL=http://127.0.0.1:3456/v1 API_KEY=… node anthropic.mjs
import Anthropic from '@anthropic-ai/sdk';
import { betaZodTool } from '@anthropic-ai/sdk/helpers/beta/zod';
import { zodOutputFormat } from '@anthropic-ai/sdk/helpers/zod';
import { apiKey, ask, baseURL, city, model, system, tell, trip } from './trip.mjs';

const root = { baseURL: baseURL.replace(/\/v1$/, ''), maxRetries: 0 };
const client = new Anthropic({ ...root, apiKey });
const { messages } = client;
const out = {};
const asked = (scene, who, more) => ({
  model, max_tokens: 1000, system: [{ type: 'text', text: system, cache_control: { type: 'ephemeral' } }],
  messages: [{ role: 'user', content: [{ type: 'text', text: ask(scene, who) }] }], ...more,
});
const text = (message) => message.content.filter((b) => b.type === 'text').map((b) => b.text).join('');
const answer = (message) => ({ text: text(message), finish: message.stop_reason, usage: message.usage });

// plain answers

const { data: whole, response, request_id } = await messages.create(asked('hello', 'anthropic')).withResponse();
out.whole = { ...answer(whole), model: whole.model, session: response.headers.get('x-maxrelay-session'), requestId: request_id };

const raw = await messages.create(asked('hello', 'anthropic', { stream: true }));
out.stream = { text: '' };
for await (const event of raw) {
  if (event.type === 'content_block_delta') out.stream.text += event.delta.text;
  if (event.type === 'message_delta') Object.assign(out.stream, { finish: event.delta.stop_reason, usage: event.usage });
}

const helper = messages.stream(asked('hello', 'anthropic'));
out.helper = { deltas: 0 };
helper.on('text', () => out.helper.deltas++);
helper.on('finalMessage', (message) => (out.helper.done = text(message)));
out.helper.text = await helper.finalText();
out.helper.usage = (await helper.finalMessage()).usage;

const betas = client.beta.messages.stream(asked('hello', 'anthropic', { betas: ['context-management-2025-06-27'], context_management: { edits: [] } }));
out.beta = answer(await betas.finalMessage());

// a conversation that goes on, and what makes an answer end

const first = await messages.create(asked('twice', 'anthropic'));
const history = [...asked('twice', 'anthropic').messages, { role: 'assistant', content: first.content }, { role: 'user', content: 'And then?' }];
const next = await messages.create(asked('', '', { messages: history })).withResponse();
out.next = { text: text(next.data), session: next.response.headers.get('x-maxrelay-session') };
out.stopped = await messages.create(asked('stopped', 'anthropic', { stop_sequences: ['END'] })).then((m) => ({ text: text(m), finish: m.stop_reason, sequence: m.stop_sequence }));
out.cut = answer(await messages.create(asked('cut', 'anthropic', { max_tokens: 5 })));

// pictures, documents, thinking

const picture = { type: 'base64', media_type: 'image/png', data: 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==' };
out.seen = answer(await messages.create(asked('', '', { messages: [{ role: 'user', content: [
  { type: 'text', text: ask('hello', 'anthropic with a picture') },
  { type: 'image', source: picture },
  { type: 'document', title: 'Notes', source: { type: 'text', media_type: 'text/plain', data: 'Some notes.' } },
] }] })));
const thinking = messages.stream(asked('trip', 'anthropic thinking', { thinking: { type: 'enabled', budget_tokens: 1024 }, max_tokens: 2000 }));
out.thinking = '';
thinking.on('thinking', (delta) => (out.thinking += delta));
const thought = await thinking.finalMessage();
out.thought = { types: thought.content.map((b) => b.type), signed: thought.content[0].signature !== '',
  finish: thought.stop_reason, calls: thought.content.filter((b) => b.type === 'tool_use').map((b) => ({ name: b.name, args: b.input })) };

// tools

async function runTools(who, options) {
  const { calls, tools } = trip();
  const runner = client.beta.messages.toolRunner({ ...asked('trip', who), thinking: { type: 'adaptive' }, ...options,
    tools: tools.map((t) => betaZodTool({ name: t.name, description: t.description, inputSchema: t.schema, run: t.run })) });
  let requests = 0;
  let last;
  for await (const step of runner) {
    last = options.stream ? await step.finalMessage() : step;
    requests++;
  }
  return { text: text(last), calls, requests };
}
out.runTools = await runTools('anthropic toolRunner', {});
out.runToolsStream = await runTools('anthropic toolRunner streamed', { stream: true });

const forced = await messages.create(asked('called', 'anthropic', { tool_choice: { type: 'tool', name: 'city', disable_parallel_tool_use: true },
  tools: [{ name: 'city', description: 'Notes a city.', input_schema: { type: 'object', properties: { name: { type: 'string' } } } }] }));
out.forced = { finish: forced.stop_reason, calls: forced.content.map((b) => ({ name: b.name, args: b.input })) };

// structured output

const output_config = { format: zodOutputFormat(city) };
out.parsed = (await messages.parse(asked('city', 'anthropic parse', { output_config }))).parsed_output;
out.parsedStream = (await messages.stream(asked('city', 'anthropic parse streamed', { output_config })).finalMessage()).parsed_output;

// models

out.models = [];
for await (const m of client.models.list({ limit: 2 })) out.models.push(m.id);
out.model = (await client.models.retrieve(model)).id;

// failures

async function failure(promise) {
  try {
    await promise;
    return { name: 'none' };
  } catch (e) {
    return { name: e.constructor.name, api: e instanceof Anthropic.APIError, status: e.status, type: e.type, named: Boolean(e.requestID) };
  }
}
const create = (scene, more) => messages.create(asked(scene, 'anthropic', more));
async function drain(promise) {
  for await (const _ of await promise);
}
out.failures = {
  'an unknown model': await failure(create('hello', { model: 'no-such-model' })),
  'a wrong message': await failure(messages.create(asked('', '', { messages: [{ role: 'user', content: 7 }] }))),
  'a prefilled answer': await failure(messages.create(asked('', '', { messages: [{ role: 'user', content: 'a' }, { role: 'assistant', content: 'b' }] }))),
  "a server's tool": await failure(create('hello', { tools: [{ type: 'web_search_20250305', name: 'web_search' }] })),
  'a wrong key': await failure(new Anthropic({ ...root, apiKey: 'sk-wrong' }).messages.create(asked('hello', 'anthropic'))),
  'a rate limit': await failure(create('limited')),
  'a rate limit, streamed': await failure(create('limited', { stream: true })),
  'an overload': await failure(create('overloaded')),
  'a break in a stream': await failure(drain(create('broken', { stream: true }))),
  'a break in a stream, by the helper': await failure(messages.stream(asked('broken', 'anthropic')).finalMessage()),
  'a count of tokens': await failure(messages.countTokens({ model, messages: [{ role: 'user', content: 'a' }] })),
};

// leaving

const leaving = await messages.create(asked('endless', 'anthropic stream', { stream: true }));
for await (const event of leaving) if (event.type === 'content_block_delta') leaving.controller.abort();
out.aborted = leaving.controller.signal.aborted;

tell(out);

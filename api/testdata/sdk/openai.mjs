// Calls maxrelay with OpenAI's own client, as its documentation shows, and prints what came back as one JSON object.
//
//   BASE_URL=http://127.0.0.1:3456/v1 API_KEY=… node openai.mjs
import OpenAI from 'openai';
import { zodFunction, zodResponseFormat } from 'openai/helpers/zod';
import { apiKey, ask, baseURL, city, conversation, model, system, tell, trip } from './trip.mjs';

const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const { completions } = client.chat;
const out = {};

// plain answers

const parts = [
  { role: 'system', content: system },
  { role: 'user', content: [{ type: 'text', text: ask('hello', 'openai') }] },
];
const { data: whole, response } = await completions.create({ model, messages: parts }).withResponse();
out.whole = { text: whole.choices[0].message.content, finish: whole.choices[0].finish_reason, usage: whole.usage, model: whole.model,
  session: response.headers.get('x-maxrelay-session'), requestId: whole._request_id };

const stream = await completions.create({ model, messages: parts, stream: true, stream_options: { include_usage: true } });
out.stream = { text: '' };
for await (const chunk of stream) {
  out.stream.text += chunk.choices[0]?.delta?.content ?? '';
  out.stream.finish = chunk.choices[0]?.finish_reason ?? out.stream.finish;
  out.stream.usage = chunk.usage ?? out.stream.usage;
}

const helper = completions.stream({ model, messages: parts, stream_options: { include_usage: true } });
out.helper = { deltas: 0 };
helper.on('content.delta', () => out.helper.deltas++);
helper.on('content.done', ({ content }) => (out.helper.done = content));
out.helper.text = await helper.finalContent();
out.helper.usage = (await helper.finalChatCompletion()).usage;

// tools

async function runTools(who, options) {
  const { calls, tools } = trip();
  const runner = completions.runTools({ model, messages: conversation('trip', who), ...options,
    tools: tools.map((t) => zodFunction({ name: t.name, description: t.description, parameters: t.schema, function: t.run })) });
  return { text: await runner.finalContent(), calls, requests: runner.allChatCompletions().length };
}
out.runTools = await runTools('openai runTools', {});
out.runToolsStream = await runTools('openai runTools streamed', { stream: true });

const called = completions.stream({ model, messages: conversation('trip', 'openai stream'),
  tools: trip().tools.map((t) => zodFunction({ name: t.name, description: t.description, parameters: t.schema })) });
out.called = { deltas: 0, done: [] };
called.on('tool_calls.function.arguments.delta', () => out.called.deltas++);
called.on('tool_calls.function.arguments.done', (e) => out.called.done.push({ name: e.name, args: e.parsed_arguments }));
const { message, finish_reason } = (await called.finalChatCompletion()).choices[0];
Object.assign(out.called, { text: message.content, finish: finish_reason });

// structured output

const response_format = zodResponseFormat(city, 'city');
const parsed = await completions.parse({ model, messages: conversation('city', 'openai parse'), response_format });
out.parsed = parsed.choices[0].message.parsed;
const parsing = completions.stream({ model, messages: conversation('city', 'openai parse streamed'), response_format });
out.parsedStream = (await parsing.finalChatCompletion()).choices[0].message.parsed;

// several answers

const several = (c) => ({ texts: c.choices.map((x) => x.message.content), indices: c.choices.map((x) => x.index), usage: c.usage });
out.two = several(await completions.create({ model, messages: conversation('coin', 'openai'), n: 2 }));
out.twoStream = several(await completions
  .stream({ model, messages: conversation('coin', 'openai stream'), n: 2, stream_options: { include_usage: true } })
  .finalChatCompletion());

// models

out.models = (await client.models.list()).data.map((m) => m.id);
out.model = (await client.models.retrieve(model)).id;

// failures

async function failure(promise) {
  try {
    await promise;
    return { name: 'none' };
  } catch (e) {
    return { name: e.constructor.name, api: e instanceof OpenAI.APIError, status: e.status, code: e.code, param: e.param, type: e.type };
  }
}
const create = (scene, more) => completions.create({ model, messages: conversation(scene, 'openai'), ...more });
async function drain(promise) {
  for await (const _ of await promise);
}
out.failures = {
  'an unknown model': await failure(create('hello', { model: 'no-such-model' })),
  'a wrong message': await failure(completions.create({ model, messages: [{ role: 'user', content: 7 }] })),
  'a wrong key': await failure(new OpenAI({ baseURL, apiKey: 'sk-wrong', maxRetries: 0 }).chat.completions.create({ model, messages: parts })),
  'a rate limit': await failure(create('limited')),
  'a rate limit, streamed': await failure(create('limited', { stream: true })),
  'an overload': await failure(create('overloaded')),
  'a break in a stream': await failure(drain(create('broken', { stream: true }))),
  'output of another form': await failure(completions.parse({ model, messages: conversation('hello', 'openai parse'), response_format })),
  'output that is cut': await failure(completions.parse({ model, messages: conversation('cut', 'openai parse'), response_format })),
};

// leaving

const leaving = new AbortController();
const left = await completions.create({ model, messages: conversation('endless', 'openai stream'), stream: true }, { signal: leaving.signal });
for await (const chunk of left) if (chunk.choices[0]?.delta?.content) leaving.abort();
out.aborted = leaving.signal.aborted;

tell(out);

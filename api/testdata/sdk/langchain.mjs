// Calls maxrelay with LangChain's client for OpenAI, and prints what came back as one JSON object.
//
//   BASE_URL=http://127.0.0.1:3456/v1 API_KEY=… node langchain.mjs
import { HumanMessage, SystemMessage } from '@langchain/core/messages';
import { tool } from '@langchain/core/tools';
import { ChatOpenAI } from '@langchain/openai';
import { createAgent } from 'langchain';
import { apiKey, ask, baseURL, city, model as id, system, tell, trip } from './trip.mjs';

const model = new ChatOpenAI({ model: id, apiKey, maxRetries: 0, configuration: { baseURL } });
const question = (scene, who) => [new SystemMessage(system), new HumanMessage(ask(scene, who))];
const out = {};

const counts = (u) => ({ input: u.input_tokens, cached: u.input_token_details?.cache_read, output: u.output_tokens });

const whole = await model.invoke(question('hello', 'langchain'));
out.whole = { text: whole.text, finish: whole.response_metadata.finish_reason, usage: counts(whole.usage_metadata) };

let sum;
for await (const chunk of await model.stream(question('hello', 'langchain stream'))) sum = sum ? sum.concat(chunk) : chunk;
out.stream = { text: sum.text, finish: sum.response_metadata.finish_reason, usage: counts(sum.usage_metadata) };

const toolsOf = (t) => t.tools.map((f) => tool(f.run, { name: f.name, description: f.description, schema: f.schema }));

const bound = await model.bindTools(toolsOf(trip())).invoke(question('trip', 'langchain bindTools'));
out.bound = { text: bound.text, calls: bound.tool_calls.map((c) => ({ name: c.name, args: c.args })) };

async function agent(who, run) {
  const t = trip();
  const a = createAgent({ model, tools: toolsOf(t), systemPrompt: system });
  const messages = await run(a, { messages: [new HumanMessage(ask('trip', who))] });
  return { text: messages.at(-1).text, calls: t.calls, requests: messages.filter((m) => m.type === 'ai').length };
}
out.agent = await agent('langchain agent', async (a, input) => (await a.invoke(input)).messages);
out.agentStream = await agent('langchain agent streamed', async (a, input) => {
  const pieces = []; // streamMode messages makes the agent stream the model's answers
  let state;
  for await (const [mode, data] of await a.stream(input, { streamMode: ['messages', 'values'] })) {
    if (mode === 'messages') pieces.push(data);
    else state = data;
  }
  out.pieces = pieces.length;
  return state.messages;
});

const shaped = (scene, who, method) => model.withStructuredOutput(city, { name: 'city', method }).invoke(question(scene, who));
out.jsonSchema = await shaped('city', 'langchain jsonSchema', 'jsonSchema');
out.functionCalling = await shaped('called', 'langchain functionCalling', 'functionCalling');
out.jsonMode = await shaped('fenced', 'langchain jsonMode', 'jsonMode');

async function failure(promise) {
  try {
    await promise;
  } catch (e) {
    return { name: e.constructor.name, status: e.status, code: e.code };
  }
}
out.limited = await failure(model.invoke(question('limited', 'langchain')));
out.broken = await failure((async () => {
  for await (const _ of await model.stream(question('broken', 'langchain')));
})());

tell(out);

// Calls maxrelay with Vercel's AI SDK as with any provider of that API, and prints what came back as one JSON object.
//
//   BASE_URL=http://127.0.0.1:3456/v1 API_KEY=… node ai.mjs
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { generateObject, generateText, stepCountIs, streamObject, streamText, tool } from 'ai';
import { z } from 'zod';
import { apiKey, ask, baseURL, city, model as id, system, tell, trip } from './trip.mjs';

globalThis.AI_SDK_LOG_WARNINGS = false;

const settings = { name: 'maxrelay', baseURL, apiKey, includeUsage: true };
const model = createOpenAICompatible(settings)(id);
const strict = createOpenAICompatible({ ...settings, supportsStructuredOutputs: true })(id);
const question = (scene, who) => ({ system, prompt: ask(scene, who), maxRetries: 0 });
const out = {};

const counts = (u) => ({ input: u.inputTokens, cached: u.cachedInputTokens, output: u.outputTokens });

const whole = await generateText({ model, ...question('hello', 'ai') });
out.whole = { text: whole.text, finish: whole.finishReason, usage: counts(whole.usage) };

const stream = streamText({ model, ...question('hello', 'ai stream') });
out.stream = { text: '' };
for await (const piece of stream.textStream) out.stream.text += piece;
out.stream.finish = await stream.finishReason;
out.stream.usage = counts(await stream.usage);

function tour(who) {
  const { calls, tools } = trip();
  return { calls, options: { model, ...question('trip', who), stopWhen: stepCountIs(5),
    tools: Object.fromEntries(tools.map((t) => [t.name, tool({ description: t.description, inputSchema: t.schema, execute: t.run })])) } };
}

const steps = tour('ai generateText');
const generated = await generateText(steps.options);
out.generateText = { text: generated.text, calls: steps.calls, requests: generated.steps.length };
out.reasoning = generated.steps[0].reasoningText;

const flow = tour('ai streamText');
const streamed = streamText(flow.options);
const types = new Set();
for await (const part of streamed.fullStream) types.add(part.type);
out.streamText = { text: await streamed.text, calls: flow.calls, requests: (await streamed.steps).length };
out.types = [...types];

// Arguments of a schema that is not one object, which the upstream does not take as it is.
const journey = z.discriminatedUnion('by', [z.object({ by: z.literal('train'), seat: z.int() }), z.object({ by: z.literal('foot') })]);
const moved = await generateText({ model, ...question('move', 'ai'), tools: { move: tool({ inputSchema: journey }) } });
out.moved = moved.toolCalls.map((c) => ({ name: c.toolName, args: c.input }));

out.object = (await generateObject({ model: strict, schema: city, ...question('city', 'ai generateObject') })).object;
out.objectMode = (await generateObject({ model, schema: city, ...question('fenced', 'ai object mode') })).object;
const objects = streamObject({ model: strict, schema: city, ...question('city', 'ai streamObject') });
for await (const partial of objects.partialObjectStream) out.partial = partial;
out.streamObject = await objects.object;

try {
  await generateText({ model, ...question('limited', 'ai') });
} catch (e) {
  out.limited = e.statusCode;
}
const breaking = streamText({ model, ...question('broken', 'ai'), onError: ({ error }) => (out.broken = error.message ?? error) });
await breaking.consumeStream();

tell(out);

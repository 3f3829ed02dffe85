// What the scripts have in common: how questions are put, and the tools of a trip that every SDK goes through.
import { z } from 'zod';

export const baseURL = process.env.BASE_URL;
export const apiKey = process.env.API_KEY;
export const model = 'claude-sonnet-4';
export const system = 'Be brief.';

// The first word says which scene the model plays, the others which client asks.
export const ask = (scene, who) => `${scene} for ${who}`;

export const conversation = (scene, who) => [
  { role: 'system', content: system },
  { role: 'user', content: ask(scene, who) },
];

const weather = { Paris: 'mild', Rome: 'sunny' };

// trip returns the tools, which note what they are called with.
export function trip() {
  const calls = [];
  const tool = (name, description, schema, answer) => ({
    name, description, schema,
    run: (args) => {
      calls.push({ name, args });
      return answer(args);
    },
  });
  return {
    calls,
    tools: [
      tool('get_weather', 'The weather in a city.', z.object({ city: z.string().describe('its name') }), ({ city }) => weather[city]),
      tool('get_time', 'The time in a zone.', z.object({ zone: z.string(), format: z.enum(['12h', '24h']).nullable() }), () => '12:00'),
    ],
  };
}

// city is a shape for structured output with what is hard in it: a list of objects, a null, and a bound that cannot be enforced.
export const city = z.object({
  name: z.string(),
  sights: z.array(z.object({ title: z.string(), year: z.number().int() })),
  river: z.string().nullable(),
});

export const tell = (out) => console.log(JSON.stringify(out));

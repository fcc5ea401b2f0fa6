import * as contracts from '@drvs/contracts';
import { z } from 'zod';
import * as answers from './answers.js';
import { openApiSchema } from './endpoint.js';
import type { JsonSchema } from './examples.js';
import { tidy } from './whole-document.js';

/** Two objects of one field may look alike and mean different things; they stay where they are. */
const NAMED_PROPERTIES_MIN = 2;

/**
 * The schemas that have a name in the code, by how they are written in the document: what looks the same there is the
 * same thing, and becomes one component of this name.
 */
export function namedSchemas(): Map<string, string> {
  const names = new Map<string, string>();
  const taken = new Set<string>();
  for (const [exported, value] of [...Object.entries(answers), ...Object.entries(contracts)]) {
    if (!(value instanceof z.ZodType)) continue;
    const name = exported.replace(/(.)Answer$/, '$1');
    for (const io of ['output', 'input'] as const) {
      const written = writtenSchema(value, io);
      if (!written || Object.keys(written.properties ?? {}).length < NAMED_PROPERTIES_MIN) continue;
      const key = JSON.stringify(written);
      const own = io === 'output' || !taken.has(name) ? name : `${name}Input`;
      if (names.has(key) || taken.has(own)) continue;
      names.set(key, own);
      taken.add(own);
    }
  }
  return names;
}

/** null for one that JSON Schema cannot say (a transformation, for instance). */
function writtenSchema(schema: z.ZodType, io: 'input' | 'output'): JsonSchema | null {
  try {
    return tidy(openApiSchema(schema, io), io);
  } catch {
    return null;
  }
}

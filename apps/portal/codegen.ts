import { readdirSync, readFileSync } from 'node:fs';
import type { CodegenConfig } from '@graphql-codegen/cli';

const FOLDER = 'src/graphql';
const preset = {
  preset: 'client',
  presetConfig: { fragmentMasking: false },
  config: { useTypeImports: true, scalars: { JSON: 'unknown' } },
} as const;
const folder = new URL(`${FOLDER}/`, import.meta.url);
const sources = readdirSync(folder).filter((name) =>
  readFileSync(new URL(name, folder), 'utf8').includes("from '@/gen/"),
);

/**
 * Types of every query of the portal, from the schema that the API prints: all of them in `src/gen`, for types alone, and
 * each file's own documents in a folder of its name, so that a screen loads what it asks and nothing of the others.
 */
const config: CodegenConfig = {
  schema: '../api/schema.graphql',
  generates: {
    './src/gen/': { ...preset, documents: [`${FOLDER}/*.ts`] },
    ...Object.fromEntries(
      sources.map((name) => [
        `./src/gen/${name.replace('.ts', '')}/`,
        { ...preset, documents: [`${FOLDER}/${name}`] },
      ]),
    ),
  },
  ignoreNoDocuments: true,
};

export default config;

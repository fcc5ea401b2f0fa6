import type { CodegenConfig } from '@graphql-codegen/cli';

/** Types of every query of the portal, from the schema that the API prints. */
const config: CodegenConfig = {
  schema: '../api/schema.graphql',
  documents: ['src/graphql/*.ts'],
  generates: {
    './src/gen/': {
      preset: 'client',
      presetConfig: { fragmentMasking: false },
      config: { useTypeImports: true, scalars: { JSON: 'unknown' } },
    },
  },
  ignoreNoDocuments: true,
};

export default config;

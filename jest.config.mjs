const doors = ['contracts', 'drvmm-core', 'dvos', 'policy', 'client'];

/** Tests run from the sources: `@drvs/x` is libs/x/src, and `./y.js` is `./y.ts`. */
export default {
  testEnvironment: 'node',
  testMatch: ['<rootDir>/{apps,libs}/**/src/**/*.test.ts', '<rootDir>/test/**/*.test.ts'],
  modulePathIgnorePatterns: ['/dist/', '/.next/'],
  extensionsToTreatAsEsm: ['.ts'],
  transform: { '^.+\\.ts$': '@swc/jest' },
  moduleNameMapper: {
    ...Object.fromEntries(doors.map((door) => [`^@drvs/${door}$`, `<rootDir>/libs/${door}/src/index.ts`])),
    '^@drvs/client/graphql$': '<rootDir>/libs/client/src/graphql/index.ts',
    '^@drvs/dvos/loader$': '<rootDir>/libs/dvos/src/loader/index.ts',
    '^(\\.{1,2}/.*)\\.js$': '$1',
  },
  testTimeout: 30_000,
};

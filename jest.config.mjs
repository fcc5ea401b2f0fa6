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
    '^@drvs/drvmm-core/storage$': '<rootDir>/libs/drvmm-core/src/storage/index.ts',
    '^@drvs/dvos/loader$': '<rootDir>/libs/dvos/src/loader/index.ts',
    '^(\\.{1,2}/.*)\\.js$': '$1',
  },
  // A test waits for what it wants to see: this only ends what hangs, on a machine that does much else, too.
  testTimeout: 60_000,
};

/** Imports go one way: apps -> libs/dvos -> libs/drvmm-core -> libs/contracts; libs/policy and libs/client -> libs/contracts; apps never import each other. */
const mayImport = {
  'libs/contracts': [],
  'libs/policy': ['contracts'],
  'libs/client': ['contracts'],
  'libs/drvmm-core': ['contracts'],
  'libs/dvos': ['contracts', 'drvmm-core'],
};
const libraries = ['contracts', 'policy', 'drvmm-core', 'dvos', 'client'];

export default {
  forbidden: [
    ...Object.entries(mayImport).map(([from, allowed]) => ({
      name: `${from}-imports-only-what-is-below-it`,
      severity: 'error',
      from: { path: `^${from}/src` },
      to: {
        path: `^(apps/|libs/(${libraries.filter((name) => !allowed.includes(name) && `libs/${name}` !== from).join('|')})/)`,
      },
    })),
    {
      name: 'apps-never-import-each-other',
      severity: 'error',
      from: { path: '^apps/([^/]+)/' },
      to: { path: '^apps/([^/]+)/', pathNot: '^apps/$1/' },
    },
    {
      name: 'through-the-door-only',
      comment: 'From outside, a library is imported by its name, never by a path inside it.',
      severity: 'error',
      from: { path: '^(apps|libs)/([^/]+)/' },
      to: {
        path: '^libs/([^/]+)/(src|dist)/',
        pathNot: ['^libs/$2/', '/(src|dist)/((loader|graphql|storage)/)?index\\.(ts|js)$'],
      },
    },
    {
      name: 'no-circles',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(/dist/|/\\.next/|/gen/|libs/dvos/src/guest/)' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      extensions: ['.ts', '.tsx', '.js', '.mjs', '.json'],
      conditionNames: ['import', 'node', 'default'],
    },
  },
};

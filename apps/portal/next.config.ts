import { fileURLToPath } from 'node:url';
import type { NextConfig } from 'next';
import createNextIntlPlugin from 'next-intl/plugin';

const config: NextConfig = {
  output: 'standalone',
  outputFileTracingRoot: fileURLToPath(new URL('../..', import.meta.url)),
  poweredByHeader: false,
  reactStrictMode: true,
  // `npm run check` checks the types, once, for the whole tree.
  typescript: { ignoreBuildErrors: true },
  // Tests drive the pages by 127.0.0.1 as well as by name.
  allowedDevOrigins: ['127.0.0.1', 'localhost'],
  experimental: { optimizePackageImports: ['@mantine/core', '@mantine/hooks', '@tabler/icons-react'] },
};

export default createNextIntlPlugin({
  requestConfig: './src/i18n/request.ts',
  // Messages are taken apart when the portal is built, so that the browser needs no parser for them.
  experimental: { messages: { path: './src/messages', format: 'json', locales: 'infer', precompile: true } },
})(config);

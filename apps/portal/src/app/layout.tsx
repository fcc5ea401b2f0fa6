import '@mantine/core/styles.css';
import '@mantine/notifications/styles.css';
import './global.css';
import { ColorSchemeScript, MantineProvider, mantineHtmlProps } from '@mantine/core';
import type { Metadata, Viewport } from 'next';
import { NextIntlClientProvider } from 'next-intl';
import { getLocale } from 'next-intl/server';
import type { ReactNode } from 'react';
import { GraphqlProvider } from '@/graphql/provider';
import { LazyNotices } from '@/parts/lazy-notices';
import { theme } from './theme';

export const metadata: Metadata = {
  title: { default: 'DRVS', template: '%s · DRVS' },
  description: 'Virtual machines larger than any node of the cluster.',
};

export const viewport: Viewport = { width: 'device-width', initialScale: 1, colorScheme: 'light dark' };

export default async function RootLayout({ children }: { children: ReactNode }) {
  return (
    <html lang={await getLocale()} {...mantineHtmlProps}>
      <head>
        <ColorSchemeScript defaultColorScheme="auto" />
      </head>
      <body>
        <NextIntlClientProvider>
          <MantineProvider theme={theme} defaultColorScheme="auto">
            <LazyNotices />
            <GraphqlProvider>{children}</GraphqlProvider>
          </MantineProvider>
        </NextIntlClientProvider>
      </body>
    </html>
  );
}

import type { Metadata } from 'next';
import { getTranslations } from 'next-intl/server';
import { UsageScreen } from './usage-screen';

export async function generateMetadata(): Promise<Metadata> {
  return { title: (await getTranslations('usage'))('title') };
}

export default function UsagePage() {
  return <UsageScreen />;
}

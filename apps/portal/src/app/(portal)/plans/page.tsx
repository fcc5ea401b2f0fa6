import type { Metadata } from 'next';
import { getTranslations } from 'next-intl/server';
import { PlansScreen } from './plans-screen';

export async function generateMetadata(): Promise<Metadata> {
  return { title: (await getTranslations('plans'))('title') };
}

export default function PlansPage() {
  return <PlansScreen />;
}

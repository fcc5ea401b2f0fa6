import type { Metadata } from 'next';
import { getTranslations } from 'next-intl/server';
import { EnergyScreen } from './energy-screen';

export async function generateMetadata(): Promise<Metadata> {
  return { title: (await getTranslations('energy'))('title') };
}

export default function EnergyPage() {
  return <EnergyScreen />;
}

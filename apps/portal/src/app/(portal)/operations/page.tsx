import type { Metadata } from 'next';
import { getTranslations } from 'next-intl/server';
import { OperationsScreen } from './operations-screen';

export async function generateMetadata(): Promise<Metadata> {
  return { title: (await getTranslations('operations'))('title') };
}

export default function OperationsPage() {
  return <OperationsScreen />;
}

import type { Metadata } from 'next';
import { getTranslations } from 'next-intl/server';
import { DrvmsScreen } from './drvms-screen';

export async function generateMetadata(): Promise<Metadata> {
  return { title: (await getTranslations('drvms'))('title') };
}

export default function DrvmsPage() {
  return <DrvmsScreen />;
}

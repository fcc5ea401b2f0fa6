import type { Metadata } from 'next';
import { getTranslations } from 'next-intl/server';
import { NewDrvmScreen } from './new-drvm-screen';

export async function generateMetadata(): Promise<Metadata> {
  return { title: (await getTranslations('newDrvm'))('title') };
}

export default function NewDrvmPage() {
  return <NewDrvmScreen />;
}

import type { Metadata } from 'next';
import { getTranslations } from 'next-intl/server';
import { DepartmentsScreen } from './departments-screen';

export async function generateMetadata(): Promise<Metadata> {
  return { title: (await getTranslations('departments'))('title') };
}

export default function DepartmentsPage() {
  return <DepartmentsScreen />;
}

import type { Metadata } from 'next';
import { getTranslations } from 'next-intl/server';
import { ClusterScreen } from './cluster-screen';

export async function generateMetadata(): Promise<Metadata> {
  return { title: (await getTranslations('cluster'))('title') };
}

export default function ClusterPage() {
  return <ClusterScreen />;
}

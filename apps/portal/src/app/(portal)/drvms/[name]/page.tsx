import type { Metadata } from 'next';
import { DrvmScreen } from './drvm-screen';

interface Props {
  params: Promise<{ name: string }>;
  searchParams: Promise<{ id?: string }>;
}

export async function generateMetadata({ params }: Props): Promise<Metadata> {
  return { title: decodeURIComponent((await params).name) };
}

export default async function DrvmPage({ params, searchParams }: Props) {
  return <DrvmScreen name={decodeURIComponent((await params).name)} id={(await searchParams).id ?? null} />;
}

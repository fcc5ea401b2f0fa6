import type { Metadata } from 'next';
import { NodeScreen } from './node-screen';

interface Props {
  params: Promise<{ name: string }>;
}

export async function generateMetadata({ params }: Props): Promise<Metadata> {
  return { title: decodeURIComponent((await params).name) };
}

export default async function NodePage({ params }: Props) {
  return <NodeScreen name={decodeURIComponent((await params).name)} />;
}

'use client';
import { createSpotlight } from '@mantine/spotlight';
import { useEffect } from 'react';
import { Palette } from './palette';

const [store, palette] = createSpotlight();

/** Opens each time that `wanted` grows. */
export function LazyPalette({ wanted }: { wanted: number }) {
  // biome-ignore lint/correctness/useExhaustiveDependencies: each new wish opens it
  useEffect(() => palette.open(), [wanted]);
  return <Palette store={store} />;
}

'use client';
import { Text } from '@mantine/core';
import { useTranslations } from 'next-intl';
import { useAmounts } from './amounts';

/** What a slice lends or borrows of CPU now, and up to where it may; nothing where neither is so. */
export function LoanNote({
  slice: { cpu, heldCpu, ceilingCpu },
  color = 'dimmed',
}: {
  slice: { cpu: number; heldCpu: number; ceilingCpu: number };
  color?: string;
}) {
  const t = useTranslations('loans');
  const { amount } = useAmounts();
  const words = [
    heldCpu > cpu ? t('borrows', { cpu: amount('cpu', heldCpu - cpu) }) : null,
    heldCpu < cpu ? t('lends', { cpu: amount('cpu', cpu - heldCpu) }) : null,
    ceilingCpu > cpu ? t('ceiling', { cpu: amount('cpu', ceilingCpu) }) : null,
  ].filter((each) => each !== null);
  if (words.length === 0) return null;
  return (
    <Text size="xs" c={color} component="div">
      {words.join(' · ')}
    </Text>
  );
}

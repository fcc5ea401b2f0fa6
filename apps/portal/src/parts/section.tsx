import { Group, Paper, Title } from '@mantine/core';
import type { ReactNode } from 'react';
import { ScrollBox } from './scroll-box';

/** A part of a screen on a card of its own, under its title; what is wider than the screen is scrolled in it. */
export function Section({
  title,
  aside,
  children,
}: {
  title: string;
  aside?: ReactNode;
  children: ReactNode;
}) {
  return (
    <Paper className="card" p="md" radius="md" component="section">
      <Group justify="space-between" mb="xs">
        <Title order={2} fz={16}>
          {title}
        </Title>
        {aside}
      </Group>
      <ScrollBox label={title}>{children}</ScrollBox>
    </Paper>
  );
}

import { Group, Text, Title } from '@mantine/core';
import type { ReactNode } from 'react';

/** The name of a screen, what it is about, and beside it what may be done there. */
export function ScreenHead({
  title,
  what,
  children,
}: {
  title: ReactNode;
  what?: ReactNode;
  children?: ReactNode;
}) {
  return (
    <Group justify="space-between" align={what ? 'flex-start' : 'center'}>
      <div>
        <Title order={1} fz={26}>
          {title}
        </Title>
        {what && (
          <Text c="dimmed" maw={720}>
            {what}
          </Text>
        )}
      </div>
      {children}
    </Group>
  );
}

import { Button, Paper, Stack, Text, Title } from '@mantine/core';
import Link from 'next/link';

/** Nothing to show: says so, and what to do about it. */
export function Empty({
  title,
  hint,
  href,
  action,
}: {
  title: string;
  hint: string;
  href?: string;
  action?: string;
}) {
  return (
    <Paper className="card" p="xl" radius="md">
      <Stack gap="xs" align="flex-start">
        <Title order={2} fz={18}>
          {title}
        </Title>
        <Text c="dimmed">{hint}</Text>
        {href && action && (
          <Button component={Link} href={href} variant="light" mt="xs">
            {action}
          </Button>
        )}
      </Stack>
    </Paper>
  );
}

import { List } from '@mantine/core';

/** What a planner looked at and left, and why; folded until one wants to know. */
export function Rejected({
  title,
  of,
}: {
  title: string;
  of: readonly { what: string; reason: string; advice?: string | null }[];
}) {
  if (of.length === 0) return null;
  return (
    <details>
      <summary>{title}</summary>
      <List size="sm" mt="xs" spacing={4}>
        {of.map(({ what, reason, advice }) => (
          <List.Item key={`${what}: ${reason}`}>
            <b>{what}</b>: {reason} {advice}
          </List.Item>
        ))}
      </List>
    </details>
  );
}

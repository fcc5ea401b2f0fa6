import { Group, Text } from '@mantine/core';

/** Four nodes, and one machine laid over three of them. */
export function Logo() {
  return (
    <Group gap={8} wrap="nowrap" component="span">
      <svg width="28" height="28" viewBox="0 0 28 28" aria-hidden="true">
        <g fill="none" stroke="currentColor" strokeOpacity=".45" strokeWidth="1.6">
          <rect x="2" y="2" width="10.5" height="10.5" rx="2.5" />
          <rect x="15.5" y="2" width="10.5" height="10.5" rx="2.5" />
          <rect x="2" y="15.5" width="10.5" height="10.5" rx="2.5" />
          <rect x="15.5" y="15.5" width="10.5" height="10.5" rx="2.5" />
        </g>
        <path
          d="M7 5h14a2 2 0 0 1 2 2v2a2 2 0 0 1-2 2H13a2 2 0 0 0-2 2v8a2 2 0 0 1-2 2H7a2 2 0 0 1-2-2V7a2 2 0 0 1 2-2Z"
          fill="var(--mantine-primary-color-filled)"
          fillOpacity=".9"
        />
      </svg>
      <Text component="span" fw={700} fz="lg" lts="0.04em">
        DRVS
      </Text>
    </Group>
  );
}

import { Badge, type BadgeProps } from '@mantine/core';

/** A word on a pale ground of its colour, readable at 4.5:1 in both themes (the library's own falls short of it), and never cut short. */
export function Tag({ color, ...rest }: BadgeProps & { color: string }) {
  const text = `light-dark(color-mix(in oklab, var(--mantine-color-${color}-9) 62%, black), var(--mantine-color-${color}-2))`;
  const ground = `light-dark(var(--mantine-color-${color}-0), color-mix(in oklab, var(--mantine-color-${color}-9) 45%, black))`;
  return (
    <Badge
      variant="light"
      radius="sm"
      tt="none"
      miw="max-content"
      style={{ color: text, background: ground }}
      {...rest}
    />
  );
}

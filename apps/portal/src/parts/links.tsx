import { Anchor, type AnchorProps } from '@mantine/core';
import Link from 'next/link';

/** Names may be used again after a DRVM is gone; its id says which one is meant. */
export const drvmHref = (name: string, id?: string): string =>
  `/drvms/${encodeURIComponent(name)}${id === undefined ? '' : `?id=${id}`}`;
export const nodeHref = (name: string): string => `/nodes/${encodeURIComponent(name)}`;

export function DrvmLink({ name, id, ...rest }: AnchorProps & { name: string; id?: string }) {
  return (
    <Anchor component={Link} href={drvmHref(name, id)} inherit {...rest}>
      {name}
    </Anchor>
  );
}

export function NodeLink({ name, ...rest }: AnchorProps & { name: string }) {
  return (
    <Anchor component={Link} href={nodeHref(name)} inherit {...rest}>
      {name}
    </Anchor>
  );
}

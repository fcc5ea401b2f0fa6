import type { ComponentProps, ReactNode } from 'react';
import { ScrollBox } from './scroll-box';
import { Table } from './table';

/** The first row of a table; what is null has no column. */
export function Heads({ of }: { of: readonly (string | null)[] }) {
  return (
    <thead>
      <tr>
        {of
          .filter((head) => head !== null)
          .map((head, column) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: two columns may have one name, and none changes its place
            <th key={column} scope="col">
              {head}
            </th>
          ))}
      </tr>
    </thead>
  );
}

/** A list on a card of its own. The children are its rows. */
export function ListTable({
  label,
  heads,
  caption,
  foot,
  minWidth,
  children,
  ...rest
}: ComponentProps<typeof Table> & {
  label: string;
  heads: readonly (string | null)[];
  caption?: string;
  foot?: ReactNode;
  /** Narrower than this many pixels it is scrolled. */
  minWidth?: number;
}) {
  return (
    <ScrollBox label={label} isCard>
      <Table isOnCard style={{ minWidth }} {...rest}>
        {caption && <caption>{caption}</caption>}
        <Heads of={heads} />
        <tbody>{children}</tbody>
        {foot && <tfoot>{foot}</tfoot>}
      </Table>
    </ScrollBox>
  );
}

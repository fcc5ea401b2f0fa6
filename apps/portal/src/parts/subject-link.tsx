import { Text } from '@mantine/core';
import type { ReactNode } from 'react';
import { DrvmLink, NodeLink } from './links';

/**
 * What an alert or an operation is about, and the screen of it where there is one.
 * @param subject node/NAME, drvm/NAME, drvm/DEPARTMENT/NAME, drvm/NAME/pid/NUMBER, or something else
 */
export function SubjectLink({ subject }: { subject: string }) {
  const [kind, ...names] = subject.split('/');
  const [first, second, third] = names;
  if (first && kind === 'node') return words(<NodeLink name={first} />);
  if (!first || kind !== 'drvm') return words(subject);
  if (third === undefined) return words(<DrvmLink name={second ?? first} />);
  return words(
    <>
      <DrvmLink name={first} /> · {second} {third}
    </>,
  );
}

const words = (of: ReactNode) => (
  <Text size="sm" component="span">
    {of}
  </Text>
);

import { Alert } from '@mantine/core';
import type { CombinedError } from 'urql';
import { said } from './errors';

/** Why what was asked for is not done, beside the form that asked: what was typed stays. */
export function Refusal({ error, color = 'red' }: { error: CombinedError | undefined; color?: string }) {
  if (!error) return null;
  const { message, hint } = said(error);
  return (
    <Alert color={color} role="alert" title={message}>
      {hint}
    </Alert>
  );
}

import { Skeleton } from '@mantine/core';
import type { CombinedError } from 'urql';
import { Trouble } from './trouble';

/** In the place of what is not there yet, as high as it will be about; or why it does not come. */
export function Awaited({
  error,
  onRetry,
  height,
}: {
  error: CombinedError | undefined;
  onRetry?: () => void;
  height: number;
}) {
  return error ? <Trouble error={error} onRetry={onRetry} /> : <Skeleton h={height} />;
}

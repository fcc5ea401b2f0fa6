import { useFormatter } from 'next-intl';

/** When something was, to the second, as a person reads it. */
export function useMoment(): (at: string) => string {
  const format = useFormatter();
  return (at) => format.dateTime(new Date(at), { dateStyle: 'short', timeStyle: 'medium' });
}

import { useCallback, useEffect } from 'react';
import { type AnyVariables, type UseQueryArgs, useQuery } from 'urql';

/** A question to the API, put again at once by `refresh`, and every `everyMs` while the page is looked at. */
export function useAsked<Data, Variables extends AnyVariables>(
  question: UseQueryArgs<Variables, Data>,
  everyMs?: number,
) {
  const [{ data, error, fetching }, ask] = useQuery(question);
  const isPaused = question.pause === true;
  const refresh = useCallback(() => {
    if (!isPaused) ask({ requestPolicy: 'network-only' });
  }, [ask, isPaused]);
  useEffect(() => {
    if (everyMs === undefined) return;
    const timer = setInterval(() => {
      if (!document.hidden) refresh();
    }, everyMs);
    return () => clearInterval(timer);
  }, [refresh, everyMs]);
  return { data, error, fetching, refresh };
}

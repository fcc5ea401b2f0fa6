import { useEffect } from 'react';

/** Asks again every `everyMs`, while the page is looked at. */
export function useRepeated(ask: () => void, everyMs: number): void {
  useEffect(() => {
    const timer = setInterval(() => {
      if (!document.hidden) ask();
    }, everyMs);
    return () => clearInterval(timer);
  }, [ask, everyMs]);
}

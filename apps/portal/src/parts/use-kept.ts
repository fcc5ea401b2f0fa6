import { useEffect, useState } from 'react';

/** A word that this browser keeps for its user; null until it is known, and where the browser keeps none. */
export function useKept(name: string): [string | null, (word: string) => void] {
  const [kept, setKept] = useState<string | null>(null);
  useEffect(() => setKept(localStorage.getItem(name) ?? ''), [name]);
  const keep = (word: string) => {
    setKept(word);
    localStorage.setItem(name, word);
  };
  return [kept, keep];
}

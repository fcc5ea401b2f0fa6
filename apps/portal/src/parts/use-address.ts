import { usePathname, useRouter, useSearchParams } from 'next/navigation';

/** What is chosen on a screen stands in its address: a view can be sent, and is there again after a reload. */
export function useAddress() {
  const router = useRouter();
  const path = usePathname();
  const search = useSearchParams();
  return {
    written: (name: string): string | null => search.get(name),
    /** The first of the options is chosen where the address says nothing, or nothing that there is. */
    chosen: <T extends string>(name: string, options: readonly [T, ...T[]]): T =>
      options.find((each) => each === search.get(name)) ?? options[0],
    choose: (changes: Record<string, string | null>): void => {
      const next = new URLSearchParams(search);
      for (const [name, value] of Object.entries(changes)) {
        if (value) next.set(name, value);
        else next.delete(name);
      }
      router.replace(next.size > 0 ? `${path}?${next}` : path, { scroll: false });
    },
  };
}

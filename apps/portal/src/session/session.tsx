'use client';
import { Center, Loader } from '@mantine/core';
import { usePathname, useRouter } from 'next/navigation';
import { createContext, type ReactNode, useContext, useEffect } from 'react';
import { useQuery } from 'urql';
import type { MeQuery as Me } from '@/gen/graphql';
import { setCsrfToken } from '@/graphql/connection';
import { MeQuery } from '@/graphql/session';
import { errorCode } from '@/parts/errors';
import { Trouble } from '@/parts/trouble';

const Session = createContext<Me['me'] | null>(null);

/** Who is signed in. Only below SessionGate. */
export function useViewer(): Me['me'] {
  const viewer = useContext(Session);
  if (viewer === null) throw new Error('useViewer outside of SessionGate');
  return viewer;
}

/** Supra-administrators and tenant administrators may create and delete DRVMs. */
export const mayManageDrvms = (role: string): boolean => role === 'supra-admin' || role === 'tenant-admin';
/** How nodes are switched and what the planners go by is for those who answer for the whole cluster. */
export const seesPower = (role: string): boolean => role === 'supra-admin' || role === 'auditor';
/** What was used is accounted to departments; members see only what they have now. */
export const seesUsage = (role: string): boolean => role !== 'member';
/** Members see to their own programs: the API knows who asked for the rest. */
export const mayChangeOperations = (role: string, kind: string): boolean =>
  mayManageDrvms(role) || (role === 'member' && kind === 'process.migrate');
export const mayRunPrograms = (role: string): boolean => role !== 'auditor';

/** Shows its children to who is signed in and sends everybody else to the sign-in page, which leads back here. */
export function SessionGate({ children }: { children: ReactNode }) {
  const router = useRouter();
  const path = usePathname();
  const [{ data, error, fetching }, again] = useQuery({ query: MeQuery, requestPolicy: 'network-only' });
  const isSignedOut = error !== undefined && errorCode(error) === 'NotAuthenticated';

  useEffect(() => {
    if (data) setCsrfToken(data.me.csrfToken ?? null);
  }, [data]);
  useEffect(() => {
    if (isSignedOut) router.replace(`/login?next=${encodeURIComponent(path)}`);
  }, [isSignedOut, path, router]);

  if (data) return <Session.Provider value={data.me}>{children}</Session.Provider>;
  if (error && !isSignedOut && !fetching) {
    return (
      <Center mih="100vh" p="md">
        <Trouble error={error} onRetry={() => again({ requestPolicy: 'network-only' })} />
      </Center>
    );
  }
  return (
    <Center mih="100vh">
      <Loader />
    </Center>
  );
}

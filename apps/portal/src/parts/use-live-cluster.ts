import { useEffect, useMemo, useState } from 'react';
import { useQuery, useSubscription } from 'urql';
import type { ClusterFieldsFragment } from '@/gen/graphql';
import { ClusterQuery, TelemetrySubscription } from '@/graphql/cluster';
import { byName } from './by-name';

/** The nodes and what each DRVM holds on them: asked once, then pushed by the API. */
export function useLiveCluster() {
  const [{ data, error, fetching }, again] = useQuery({ query: ClusterQuery });
  const [{ data: pushed }] = useSubscription({ query: TelemetrySubscription });
  const nodes: ClusterFieldsFragment[] | null = pushed?.telemetry ?? data?.nodes.nodes ?? null;
  const [updatedAt, setUpdatedAt] = useState<Date | null>(null);
  useEffect(() => {
    if (nodes) setUpdatedAt(new Date());
  }, [nodes]);
  const sorted = useMemo(() => nodes && [...nodes].sort((a, b) => byName(a.name, b.name)), [nodes]);
  return { nodes: sorted, error, fetching, updatedAt, again: () => again({ requestPolicy: 'network-only' }) };
}

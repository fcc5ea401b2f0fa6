'use client';
import { type ReactNode, useState } from 'react';
import { Provider } from 'urql';
import { connect } from './connection';

export function GraphqlProvider({ children }: { children: ReactNode }) {
  const [client] = useState(connect);
  return <Provider value={client}>{children}</Provider>;
}

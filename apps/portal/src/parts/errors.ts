import type { CombinedError } from 'urql';

/** What the API says of a failure: a stable code, what happened, what to do. */
export interface Said {
  code: string;
  message: string;
  hint?: string;
}

export const errorCode = (error: CombinedError): string => said(error).code;

export function said(error: CombinedError): Said {
  const first = error.graphQLErrors[0];
  if (first) {
    const { code, hint } = first.extensions as { code?: string; hint?: string };
    return { code: code ?? 'Internal', message: first.message, hint };
  }
  const status = (error.response as Response | undefined)?.status;
  if (status === 401) return { code: 'NotAuthenticated', message: error.message };
  return { code: 'ApiAway', message: error.networkError?.message ?? error.message };
}

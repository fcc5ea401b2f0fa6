import { lookup as resolve } from 'node:dns';
import { type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { isPublicAddress } from './public-address.js';

/** From the first look at the name to the last byte of the answer's head. */
export const REQUEST_TIMEOUT_MS = 10_000;

export interface PostOutcome {
  isDelivered: boolean;
  /** HTTP status, where there was an answer. */
  status: number | null;
  error: string | null;
}

interface Posting {
  body: string;
  headers: Record<string, string>;
  allowPrivate: boolean;
  timeoutMs?: number;
  signal?: AbortSignal;
}

/**
 * Posts once. The address that is checked is the one that is spoken to: the name is looked up here, within the
 * connection, and not again. Redirects are not followed. Nothing of the answer is read but its status.
 */
export function post(url: URL, posting: Posting): Promise<PostOutcome> {
  const { body, headers, allowPrivate, timeoutMs = REQUEST_TIMEOUT_MS } = posting;
  const host = url.hostname.replace(/^\[|\]$/g, '');
  if (isIP(host) !== 0 && !allowPrivate && !isPublicAddress(host)) {
    return Promise.resolve(failed(null, notPublic(host, host)));
  }
  const timeout = AbortSignal.timeout(timeoutMs);
  const signal = posting.signal ? AbortSignal.any([posting.signal, timeout]) : timeout;
  return new Promise((settle) => {
    const send = url.protocol === 'https:' ? requestHttps : requestHttp;
    const request = send(
      url,
      {
        method: 'POST',
        headers: { ...headers, 'content-length': Buffer.byteLength(body) },
        lookup: allowPrivate ? undefined : publicLookup,
        // Each delivery on a connection of its own: an idle one that the receiver has closed would fail the next.
        agent: false,
        signal,
      },
      (response) => {
        settle(outcomeOf(response));
        response.destroy();
      },
    );
    request.on('error', (error) => {
      const message = timeout.aborted ? `no answer within ${timeoutMs / 1_000} s` : error.message;
      settle(failed(null, message));
    });
    request.end(body);
  });
}

function outcomeOf({ statusCode: status = 0 }: IncomingMessage): PostOutcome {
  if (status >= 200 && status < 300) return { isDelivered: true, status, error: null };
  return failed(
    status,
    status >= 300 && status < 400 ? `answered ${status}: redirects are not followed` : `answered ${status}`,
  );
}

const failed = (status: number | null, error: string): PostOutcome => ({
  isDelivered: false,
  status,
  error: error.slice(0, 500),
});

const notPublic = (host: string, address: string): string =>
  `${host === address ? address : `${host} is ${address}, which`} is not a public address; a supra-administrator can allow it (setting webhooks.allowPrivateAddresses)`;

/** Gives only public addresses, and fails when the name has none. */
const publicLookup: LookupFunction = (hostname, options, done) => {
  resolve(hostname, { ...options, all: true }, (error, addresses) => {
    if (error) return done(error, '', 0);
    const open = addresses.filter(({ address }) => isPublicAddress(address));
    const [first] = open;
    if (!first) return done(new Error(notPublic(hostname, addresses[0]?.address ?? 'nowhere')), '', 0);
    if (options.all) return done(null, open);
    done(null, first.address, first.family);
  });
};

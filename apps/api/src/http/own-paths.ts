/** These paths are the API's own: an unknown one below them is answered here and never handed on to the portal. */
const OWN_PATHS = /^\/(api|graphql|agent|healthz|readyz|metrics)(\/|\?|$)/;

export const isOwnPath = (url: string): boolean => OWN_PATHS.test(url);

import { cookies, headers } from 'next/headers';
import { getRequestConfig } from 'next-intl/server';
import { chooseLocale, LOCALE_COOKIE } from './locales';

/** The language of a request: the one chosen in the portal, or else the one that the browser asks for. */
export default getRequestConfig(async () => {
  const chosen = (await cookies()).get(LOCALE_COOKIE)?.value;
  const locale = chooseLocale(chosen, (await headers()).get('accept-language') ?? '');
  return { locale, messages: (await import(`../messages/${locale}.json`)).default };
});

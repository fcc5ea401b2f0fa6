export const LOCALES = ['en', 'es'] as const;
export type Locale = (typeof LOCALES)[number];
export const LOCALE_COOKIE = 'drvs-locale';

const isLocale = (value: string | undefined): value is Locale => LOCALES.includes(value as Locale);

/** @param accepted the request's Accept-Language header (RFC 9110 §12.5.4) */
export function chooseLocale(chosen: string | undefined, accepted: string): Locale {
  if (isLocale(chosen)) return chosen;
  const wished = accepted
    .split(',')
    .map((part) => {
      const [tag = '', quality] = part.trim().split(';q=');
      return {
        language: tag.slice(0, 2).toLowerCase(),
        quality: quality === undefined ? 1 : Number(quality),
      };
    })
    .sort((a, b) => b.quality - a.quality)
    .find(({ language }) => isLocale(language));
  return (wished?.language as Locale | undefined) ?? 'en';
}

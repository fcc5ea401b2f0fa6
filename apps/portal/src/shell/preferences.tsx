'use client';
import { ActionIcon, useMantineColorScheme } from '@mantine/core';
import { IconCheck, IconDeviceDesktop, IconLanguage, IconMoon, IconSun } from '@tabler/icons-react';
import { useRouter } from 'next/navigation';
import { useLocale, useTranslations } from 'next-intl';
import { LOCALE_COOKIE, LOCALES } from '@/i18n/locales';
import { Menu, MenuItem, MenuLabel } from '@/parts/menu';

const SCHEMES = [
  { value: 'light', icon: IconSun },
  { value: 'dark', icon: IconMoon },
  { value: 'auto', icon: IconDeviceDesktop },
] as const;

/** Language and theme; each is offered in its own words. */
export function Preferences() {
  const t = useTranslations('preferences');
  const locale = useLocale();
  const router = useRouter();
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  const choose = (language: string) => {
    // biome-ignore lint/suspicious/noDocumentCookie: the server reads it on the next request; the Cookie Store API is not everywhere
    document.cookie = `${LOCALE_COOKIE}=${language}; path=/; max-age=31536000; samesite=lax`;
    router.refresh();
  };
  const check = <IconCheck size={16} aria-hidden />;
  return (
    <Menu
      label={t('title')}
      target={(props) => (
        <ActionIcon variant="subtle" color="gray" size="lg" aria-label={t('title')} {...props}>
          <IconLanguage size={20} stroke={1.6} aria-hidden />
        </ActionIcon>
      )}
    >
      <MenuLabel>{t('language')}</MenuLabel>
      {LOCALES.map((language) => (
        <MenuItem
          key={language}
          lang={language}
          onClick={() => choose(language)}
          isChosen={language === locale}
          chosenIcon={check}
        >
          {language === 'en' ? 'English' : 'Español'}
        </MenuItem>
      ))}
      <hr />
      <MenuLabel>{t('theme')}</MenuLabel>
      {SCHEMES.map(({ value, icon: Icon }) => (
        <MenuItem
          key={value}
          icon={<Icon size={16} aria-hidden />}
          onClick={() => setColorScheme(value)}
          isChosen={value === colorScheme}
          chosenIcon={check}
        >
          {t(value)}
        </MenuItem>
      ))}
    </Menu>
  );
}

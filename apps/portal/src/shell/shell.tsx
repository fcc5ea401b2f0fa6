'use client';
import { AppShell, Burger, Button, Group, NavLink, Text } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { IconChevronDown, IconLogout, IconUser } from '@tabler/icons-react';
import Link from 'next/link';
import { usePathname } from 'next/navigation';
import { useTranslations } from 'next-intl';
import type { ReactNode } from 'react';
import { useMutation } from 'urql';
import { LogoutMutation } from '@/graphql/session';
import { Menu, MenuItem, MenuLabel } from '@/parts/menu';
import { useViewer } from '@/session/session';
import { AlertBell } from './alert-bell';
import { Kiosk, useKiosk } from './kiosk';
import { Logo } from './logo';
import { OperationsDrawer } from './operations-drawer';
import { placesFor } from './places';
import { Preferences } from './preferences';
import { Shortcuts } from './shortcuts';

export function Shell({ children }: { children: ReactNode }) {
  const t = useTranslations('shell');
  const isKiosk = useKiosk();
  const path = usePathname();
  const viewer = useViewer();
  const [isOpen, { toggle, close }] = useDisclosure();
  const [, logout] = useMutation(LogoutMutation);
  const signOut = async () => {
    await logout({});
    location.assign('/login');
  };
  if (isKiosk) return <Kiosk>{children}</Kiosk>;
  return (
    <AppShell
      header={{ height: 56 }}
      navbar={{ width: 208, breakpoint: 'sm', collapsed: { mobile: !isOpen } }}
      padding={{ base: 'sm', sm: 'lg' }}
    >
      <a className="skip" href="#content">
        {t('skip')}
      </a>
      <AppShell.Header>
        <Group h="100%" px="md" justify="space-between" wrap="nowrap">
          <Group gap="sm" wrap="nowrap">
            <Burger opened={isOpen} onClick={toggle} hiddenFrom="sm" size="sm" aria-label={t('menu')} />
            <Link
              href="/"
              aria-label="DRVS"
              style={{ display: 'flex', color: 'inherit', textDecoration: 'none' }}
            >
              <Logo />
            </Link>
          </Group>
          <Group gap={4} wrap="nowrap">
            <Shortcuts />
            <OperationsDrawer />
            <AlertBell />
            <Preferences />
            <Menu
              label={viewer.name}
              target={(props) => (
                <Button
                  variant="subtle"
                  color="gray"
                  leftSection={<IconUser size={18} aria-hidden />}
                  rightSection={
                    <Text span inherit lh={0} visibleFrom="xs">
                      <IconChevronDown size={14} aria-hidden />
                    </Text>
                  }
                  px="xs"
                  aria-label={viewer.name}
                  {...props}
                >
                  <Text span inherit truncate maw={160} visibleFrom="xs">
                    {viewer.name}
                  </Text>
                </Button>
              )}
            >
              <MenuLabel>
                {t(`roles.${viewer.role}`)}
                {viewer.tenant && ` · ${viewer.tenant}`}
              </MenuLabel>
              <MenuItem icon={<IconLogout size={16} aria-hidden />} onClick={signOut}>
                {t('signOut')}
              </MenuItem>
            </Menu>
          </Group>
        </Group>
      </AppShell.Header>
      <AppShell.Navbar p="xs" aria-label={t('navigation')}>
        {placesFor(viewer.role).map(({ href, key, icon: Icon }) => (
          <NavLink
            key={href}
            component={Link}
            href={href}
            label={t(key)}
            leftSection={<Icon size={20} stroke={1.6} aria-hidden />}
            active={href === '/' ? path === '/' || path.startsWith('/nodes') : path.startsWith(href)}
            aria-current={path === href ? 'page' : undefined}
            onClick={close}
            style={{ borderRadius: 'var(--mantine-radius-md)' }}
          />
        ))}
        <Text size="xs" c="dimmed" mt="auto" p="xs">
          {t('motto')}
        </Text>
      </AppShell.Navbar>
      <AppShell.Main id="content">{children}</AppShell.Main>
    </AppShell>
  );
}

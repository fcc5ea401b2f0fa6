'use client';
import {
  Alert,
  Button,
  Center,
  Group,
  Paper,
  PasswordInput,
  Stack,
  Text,
  TextInput,
  Title,
} from '@mantine/core';
import { useRouter, useSearchParams } from 'next/navigation';
import { useTranslations } from 'next-intl';
import { type FormEvent, useState } from 'react';
import { useMutation } from 'urql';
import { setCsrfToken } from '@/graphql/connection';
import { LoginMutation } from '@/graphql/session';
import { said } from '@/parts/errors';
import { Logo } from '@/shell/logo';
import { Preferences } from '@/shell/preferences';

/** Only a path of this site may be the page to return to. */
const safePath = (path: string | null): string =>
  path?.startsWith('/') && !path.startsWith('//') && !path.startsWith('/\\') ? path : '/';

export function LoginForm() {
  const t = useTranslations('login');
  const router = useRouter();
  const next = safePath(useSearchParams().get('next'));
  const [name, setName] = useState('');
  const [password, setPassword] = useState('');
  const [{ error, fetching }, login] = useMutation(LoginMutation);
  const failure = error ? said(error) : null;

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    const { data } = await login({ name: name.trim(), password });
    if (!data) return;
    setCsrfToken(data.login.csrfToken ?? null);
    router.replace(next);
  };

  return (
    <Center mih="100vh" p="md" component="main">
      <Paper className="card" radius="lg" p={{ base: 'lg', sm: 36 }} w="100%" maw={420} shadow="sm">
        <form onSubmit={submit}>
          <Stack gap="md">
            <Group justify="space-between">
              <Logo />
              <Preferences />
            </Group>
            <div>
              <Title order={1} fz={24}>
                {t('title')}
              </Title>
              <Text c="dimmed" size="sm" mt={4}>
                {t('what')}
              </Text>
            </div>
            <TextInput
              label={t('name')}
              value={name}
              onChange={(event) => setName(event.currentTarget.value)}
              autoComplete="username"
              autoCapitalize="none"
              spellCheck={false}
              required
              autoFocus
            />
            <PasswordInput
              label={t('password')}
              value={password}
              onChange={(event) => setPassword(event.currentTarget.value)}
              autoComplete="current-password"
              visibilityToggleButtonProps={{ 'aria-label': t('showPassword') }}
              required
            />
            {failure && (
              <Alert color="red" role="alert">
                {failure.code === 'NotAuthenticated' ? t('wrong') : failure.message} {failure.hint}
              </Alert>
            )}
            <Button type="submit" loading={fetching} fullWidth size="md">
              {t('signIn')}
            </Button>
            <Text size="xs" c="dimmed">
              {t('firstTime')}
            </Text>
          </Stack>
        </form>
      </Paper>
    </Center>
  );
}

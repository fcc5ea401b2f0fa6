import { Center } from '@mantine/core';
import { getTranslations } from 'next-intl/server';
import { Empty } from '@/parts/empty';

export default async function NotFound() {
  const t = await getTranslations('notFound');
  return (
    <Center mih="100vh" p="md" component="main">
      <Empty title={t('title')} hint={t('hint')} href="/" action={t('home')} />
    </Center>
  );
}

import { getTranslations } from 'next-intl/server';

export default async function NotFound() {
  const t = await getTranslations('notFound');
  return (
    <main className="plain">
      <div className="card">
        <h1>{t('title')}</h1>
        <p>{t('hint')}</p>
        <a href="/">{t('home')}</a>
      </div>
    </main>
  );
}

'use client';
import { useTranslations } from 'next-intl';

/** A page that broke: says so plainly and offers the way back, with nothing that could break too. */
export default function PageBroke({ error, reset }: { error: Error; reset: () => void }) {
  const t = useTranslations('errors');
  return (
    <main className="plain">
      <div className="card" role="alert">
        <h1>{t('broke')}</h1>
        <p>{error.message}</p>
        <button type="button" onClick={reset}>
          {t('retry')}
        </button>
      </div>
    </main>
  );
}

import type { NotificationData } from '@mantine/notifications';
import type { CombinedError } from 'urql';
import { said } from './errors';

/** A failed action, said beside what the user was doing; nothing typed is lost. */
export function notifyFailure(title: string, error: CombinedError): void {
  const { message, hint } = said(error);
  show({
    color: 'red',
    title,
    message: hint ? `${message} ${hint}` : message,
    autoClose: 15_000,
  });
}

export function notifyDone(title: string, message = ''): void {
  show({ color: 'teal', title, message, autoClose: 5_000 });
}

/** The library comes with the first that is told. */
function show(notice: NotificationData): void {
  void import('@mantine/notifications').then(({ notifications }) => notifications.show(notice));
}

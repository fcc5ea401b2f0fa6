'use client';
import { type KeyboardEvent, type ReactNode, useEffect } from 'react';
import classes from './menu.module.css';
import { type PopoverTargetProps, usePopover } from './use-popover';

/** A menu below its button. Keys as in the pattern of the ARIA guide: arrows, Home and End go through it. */
export function Menu({
  label,
  target,
  children,
}: {
  label: string;
  target: (props: PopoverTargetProps) => ReactNode;
  children: ReactNode;
}) {
  const { isOpen, panel, hide, targetProps, panelProps } = usePopover('menu');
  useEffect(() => {
    if (isOpen) panel.current?.querySelector('button')?.focus({ preventScroll: true });
  }, [isOpen, panel]);

  const go = (event: KeyboardEvent) => {
    const all = [...(panel.current?.querySelectorAll<HTMLButtonElement>('button') ?? [])];
    const at = all.indexOf(document.activeElement as HTMLButtonElement);
    const to = {
      ArrowDown: at + 1,
      ArrowUp: at - 1 + all.length,
      Home: 0,
      End: all.length - 1,
    }[event.key];
    if (event.key === 'Tab') hide();
    if (to === undefined) return;
    event.preventDefault();
    all[to % all.length]?.focus();
  };
  return (
    <>
      {target(targetProps)}
      <div
        {...panelProps}
        role="menu"
        aria-label={label}
        className={classes.menu}
        onKeyDown={go}
        onClick={(event) => {
          if ((event.target as HTMLElement).closest('button')) hide();
        }}
      >
        {isOpen && children}
      </div>
    </>
  );
}

/** @param isChosen of one of several, of which one holds; left out where it does something */
export function MenuItem({
  icon,
  isChosen,
  isDanger = false,
  chosenIcon,
  children,
  ...rest
}: {
  icon?: ReactNode;
  isChosen?: boolean;
  isDanger?: boolean;
  chosenIcon?: ReactNode;
  lang?: string;
  onClick: () => void;
  children: ReactNode;
}) {
  const role =
    isChosen === undefined ? { role: 'menuitem' } : { role: 'menuitemradio', 'aria-checked': isChosen };
  return (
    <button
      type="button"
      tabIndex={-1}
      className={classes.item}
      data-danger={isDanger || undefined}
      {...role}
      {...rest}
    >
      {icon}
      <span className={classes.words}>{children}</span>
      {isChosen && chosenIcon}
    </button>
  );
}

export function MenuLabel({ children }: { children: ReactNode }) {
  return <div className={classes.label}>{children}</div>;
}

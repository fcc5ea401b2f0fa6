'use client';
import {
  type ButtonHTMLAttributes,
  type KeyboardEvent,
  type ReactNode,
  type RefObject,
  useEffect,
  useId,
  useRef,
  useState,
} from 'react';
import classes from './menu.module.css';

/** What the button that opens a menu is given. */
type TargetProps = Pick<
  ButtonHTMLAttributes<HTMLButtonElement>,
  'popoverTarget' | 'aria-haspopup' | 'aria-expanded'
> & { ref: RefObject<HTMLButtonElement | null> };

const GAP_PX = 4;
/** A button this far down the window has its menu above it. */
const LOW = 0.6;

/**
 * A menu below its button, by the browser's own popover: it closes by Escape, by a press elsewhere and by scrolling, and
 * gives the focus back. Keys as in the pattern of the ARIA guide: arrows, Home and End go through it.
 */
export function Menu({
  label,
  target,
  children,
}: {
  label: string;
  target: (props: TargetProps) => ReactNode;
  children: ReactNode;
}) {
  const id = useId();
  const button = useRef<HTMLButtonElement>(null);
  const list = useRef<HTMLDivElement>(null);
  const [isOpen, setOpen] = useState(false);
  const items = () => [...(list.current?.querySelectorAll<HTMLButtonElement>('button') ?? [])];

  const place = () => {
    const at = button.current?.getBoundingClientRect();
    if (!at || !list.current) return;
    const { style } = list.current;
    const isLow = at.bottom > innerHeight * LOW;
    style.top = isLow ? 'auto' : `${at.bottom + GAP_PX}px`;
    style.bottom = isLow ? `${innerHeight - at.top + GAP_PX}px` : 'auto';
    style.right = `${Math.max(GAP_PX, document.documentElement.clientWidth - at.right)}px`;
  };
  useEffect(() => {
    if (!isOpen) return;
    list.current?.querySelector('button')?.focus({ preventScroll: true });
    // What scrolls elsewhere, for instance with what a program prints, leaves the button where it is.
    const close = ({ target }: Event) => {
      if (target instanceof Node && target.contains(button.current)) list.current?.hidePopover();
    };
    addEventListener('scroll', close, { capture: true, passive: true });
    return () => removeEventListener('scroll', close, { capture: true });
  }, [isOpen]);

  const go = (event: KeyboardEvent) => {
    const all = items();
    const at = all.indexOf(document.activeElement as HTMLButtonElement);
    const to = {
      ArrowDown: at + 1,
      ArrowUp: at - 1 + all.length,
      Home: 0,
      End: all.length - 1,
    }[event.key];
    if (event.key === 'Tab') list.current?.hidePopover();
    if (to === undefined) return;
    event.preventDefault();
    all[to % all.length]?.focus();
  };
  return (
    <>
      {target({ ref: button, popoverTarget: id, 'aria-haspopup': 'menu', 'aria-expanded': isOpen })}
      <div
        id={id}
        ref={list}
        popover="auto"
        role="menu"
        aria-label={label}
        className={classes.menu}
        onBeforeToggle={place}
        onToggle={(event) => setOpen(event.newState === 'open')}
        onKeyDown={go}
        onClick={(event) => {
          if ((event.target as HTMLElement).closest('button')) list.current?.hidePopover();
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

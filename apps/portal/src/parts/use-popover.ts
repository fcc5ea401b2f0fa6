import { type ButtonHTMLAttributes, type RefObject, useEffect, useId, useRef, useState } from 'react';

/** What the button that opens it is given. */
export type PopoverTargetProps = Pick<
  ButtonHTMLAttributes<HTMLButtonElement>,
  'popoverTarget' | 'aria-haspopup' | 'aria-expanded'
> & { ref: RefObject<HTMLButtonElement | null> };

const GAP_PX = 4;
/** A button this far down the window has its panel above it. */
const LOW = 0.6;

/**
 * A panel below its button, by the browser's own popover: it closes by Escape, by a press elsewhere and by scrolling,
 * and gives the focus back. @param role what the panel is to who cannot see it
 */
export function usePopover(role: 'menu' | 'dialog') {
  const id = useId();
  const button = useRef<HTMLButtonElement>(null);
  const panel = useRef<HTMLDivElement>(null);
  const [isOpen, setOpen] = useState(false);

  const place = () => {
    const at = button.current?.getBoundingClientRect();
    if (!at || !panel.current) return;
    const { style } = panel.current;
    const isLow = at.bottom > innerHeight * LOW;
    style.top = isLow ? 'auto' : `${at.bottom + GAP_PX}px`;
    style.bottom = isLow ? `${innerHeight - at.top + GAP_PX}px` : 'auto';
    style.right = `${Math.max(GAP_PX, document.documentElement.clientWidth - at.right)}px`;
  };
  useEffect(() => {
    if (!isOpen) return;
    // What scrolls elsewhere, for instance with what a program prints, leaves the button where it is.
    const close = ({ target }: Event) => {
      if (target instanceof Node && target.contains(button.current)) panel.current?.hidePopover();
    };
    addEventListener('scroll', close, { capture: true, passive: true });
    return () => removeEventListener('scroll', close, { capture: true });
  }, [isOpen]);

  const targetProps: PopoverTargetProps = {
    ref: button,
    popoverTarget: id,
    'aria-haspopup': role,
    'aria-expanded': isOpen,
  };
  return {
    isOpen,
    panel,
    hide: () => panel.current?.hidePopover(),
    targetProps,
    panelProps: {
      id,
      ref: panel,
      popover: 'auto' as const,
      onBeforeToggle: place,
      onToggle: (event: { newState: string }) => setOpen(event.newState === 'open'),
    },
  };
}

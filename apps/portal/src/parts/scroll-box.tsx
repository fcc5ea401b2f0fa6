'use client';
import { type ReactNode, useEffect, useRef, useState } from 'react';

/** What may be wider than the screen. Where it is, it is scrolled by keys too, and then has a name to be found by. */
export function ScrollBox({
  label,
  isCard = false,
  children,
}: {
  label: string;
  isCard?: boolean;
  children: ReactNode;
}) {
  const box = useRef<HTMLDivElement>(null);
  const [isWide, setWide] = useState(false);
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const look = () => setWide(element.scrollWidth > element.clientWidth);
    const observer = new ResizeObserver(look);
    observer.observe(element);
    for (const child of element.children) observer.observe(child);
    return () => observer.disconnect();
  }, []);
  const scrolled = isWide ? { tabIndex: 0, role: 'region', 'aria-label': label } : {};
  return (
    <div ref={box} className={isCard ? 'card rounded scrolled' : 'scrolled'} {...scrolled}>
      {children}
    </div>
  );
}

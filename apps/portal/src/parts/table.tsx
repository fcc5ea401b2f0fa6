import type { ComponentPropsWithoutRef } from 'react';
import classes from './table.module.css';

/**
 * A table as HTML has it, in the portal's clothes. The component library's own brings its scrolling areas and what
 * floats with it, which is a tenth of all that a screen loads.
 */
export function Table({
  isOnCard = false,
  isLoose = false,
  hasHover = false,
  isFacts = false,
  className = '',
  ...rest
}: ComponentPropsWithoutRef<'table'> & {
  /** Its edges are those of a card. */
  isOnCard?: boolean;
  /** Rows with some air. */
  isLoose?: boolean;
  hasHover?: boolean;
  /** Each row a name and what it is. */
  isFacts?: boolean;
}) {
  return (
    <table
      className={`${classes.table} ${className}`}
      data-card={isOnCard || undefined}
      data-loose={isLoose || undefined}
      data-hover={hasHover || undefined}
      data-facts={isFacts || undefined}
      {...rest}
    />
  );
}

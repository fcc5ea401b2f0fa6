'use client';
import { createTheme, type MantineColorsTuple } from '@mantine/core';

/** One hue for what is ours; states keep their own (green up, amber attention, red broken, grey off). */
const ocean: MantineColorsTuple = [
  '#e6f6f8',
  '#d2eaee',
  '#a8d4dc',
  '#79bcc9',
  '#53a7b8',
  '#3b9aae',
  '#2a8ca1',
  '#17778b',
  '#0b6678',
  '#004f60',
];

export const theme = createTheme({
  primaryColor: 'ocean',
  primaryShade: { light: 8, dark: 7 },
  colors: { ocean },
  autoContrast: true,
  defaultRadius: 'md',
  fontFamily: 'Inter, ui-sans-serif, system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif',
  fontFamilyMonospace:
    'ui-monospace, "SF Mono", "Cascadia Code", Menlo, Consolas, "DejaVu Sans Mono", monospace',
  headings: { fontWeight: '650' },
  cursorType: 'pointer',
});

/** A table as `kubectl` prints one: aligned columns, headings in capitals, no lines; the last column is not padded. */
export function renderTable(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [headings, ...rows].map((row) => row.map(onOneLine));
  const widths = headings.map((_, column) => Math.max(...cells.map((row) => widthOf(row[column] ?? ''))));
  return cells
    .map((row) =>
      row
        .map((cell, column) =>
          column === row.length - 1 ? cell : cell + ' '.repeat(widths[column]! - widthOf(cell)),
        )
        .join('   ')
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join('');
}

/** Two columns: a name and its value; rows without a value are left out. */
export function renderFacts(facts: readonly (readonly [string, string | null | undefined])[]): string {
  const shown = facts.filter((fact): fact is readonly [string, string] => fact[1] != null && fact[1] !== '');
  const width = Math.max(0, ...shown.map(([name]) => name.length));
  return shown.map(([name, value]) => `${`${name}:`.padEnd(width + 2)} ${onOneLine(value)}\n`).join('');
}

/**
 * Names and commands come from other users: control characters in them (escape sequences, line feeds) must not reach
 * the terminal.
 */
export function onOneLine(text: string): string {
  return text.replace(/\p{Cc}/gu, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

const segments = new Intl.Segmenter('en', { granularity: 'grapheme' });

/** Columns that a text takes in a terminal: East Asian wide characters take two. */
function widthOf(text: string): number {
  let width = 0;
  for (const { segment } of segments.segment(text)) {
    width +=
      /\p{Script=Han}|\p{Script=Hiragana}|\p{Script=Katakana}|\p{Script=Hangul}|\p{Emoji_Presentation}/u.test(
        segment,
      )
        ? 2
        : 1;
  }
  return width;
}

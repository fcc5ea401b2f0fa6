import { usage } from '../failure.js';

/** RFC 4180: fields in quotes may hold commas, line ends and doubled quotes; empty lines are left out. */
export function parseCsv(text: string): string[][] {
  const rows: string[][] = [];
  let row: string[] = [];
  let field = '';
  let isQuoted = false;
  const endField = () => {
    row.push(field);
    field = '';
  };
  const endRow = () => {
    endField();
    if (row.some((cell) => cell !== '')) rows.push(row);
    row = [];
  };
  const source = text.replace(/^\uFEFF/, '');
  for (let at = 0; at < source.length; at++) {
    const letter = source[at] as string;
    if (isQuoted) {
      if (letter !== '"') field += letter;
      else if (source[at + 1] === '"') field += source[++at];
      else isQuoted = false;
    } else if (letter === '"' && field === '') isQuoted = true;
    else if (letter === ',') endField();
    else if (letter === '\n') endRow();
    else if (letter !== '\r') field += letter;
  }
  if (isQuoted) throw usage('a field of the CSV file begins with a quote and does not end with one');
  if (field !== '' || row.length > 0) endRow();
  return rows;
}

/**
 * Pages of docs/api/tasks: what an administrator does, by the command line, REST and GraphQL, as it is run in the tests.
 * A block ```sh is run by bash; the block that follows it with the word `output` (```text output, ```json output) is
 * what it prints. There `<word>` stands for anything without blanks, `…` for anything on that line, and a line of `…`
 * alone for any lines.
 */
export interface Block {
  /** Number of its first line in the page, from 1. */
  line: number;
  script: string;
  /** null: it prints whatever it prints. */
  output: { text: string; firstLine: number; lines: number } | null;
}

export interface Section {
  title: string;
  blocks: Block[];
}

const FENCE = /^```(\w*)\s*(.*)$/;

/** The sections (## headings) that hold something to run; what stands before the first is a section without a title. */
export function parseTaskPage(markdown: string): Section[] {
  const lines = markdown.split('\n');
  const sections: Section[] = [{ title: '', blocks: [] }];
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at]!;
    if (line.startsWith('## ')) sections.push({ title: line.slice(3).trim(), blocks: [] });
    const [, language, info] = FENCE.exec(line) ?? [];
    if (language === undefined) continue;
    const from = at + 1;
    while (++at < lines.length && lines[at] !== '```');
    const text = lines.slice(from, at).join('\n');
    const { blocks } = sections.at(-1)!;
    if (language === 'sh') blocks.push({ line: from + 1, script: text, output: null });
    else if (info?.trim() === 'output') {
      const last = blocks.at(-1);
      if (!last || last.output) throw new Error(`line ${from}: this output belongs to no block of sh`);
      last.output = { text, firstLine: from, lines: at - from };
    }
  }
  return sections.filter(({ blocks }) => blocks.length > 0);
}

/** Whether a block printed what the page says; blanks are as wide as they like. */
export function isAsWritten(expected: string, printed: string): boolean {
  return new RegExp(`^${patternOf(expected)}$`, 'u').test(tidy(printed));
}

function patternOf(expected: string): string {
  const lines = tidy(expected).split('\n');
  let pattern = '';
  lines.forEach((line, index) => {
    const isLast = index === lines.length - 1;
    if (line === '…') pattern += isLast ? '[\\s\\S]*' : '(?:.*\\n)*?';
    else pattern += linePattern(line) + (isLast ? '' : '\\n');
  });
  return pattern;
}

function linePattern(line: string): string {
  return line
    .split(/(<[a-z][\w-]*>|…)/u)
    .map((part) => {
      if (part === '…') return '.*';
      if (/^<[a-z][\w-]*>$/u.test(part)) return '[^\\s"]+';
      return part.replaceAll(/[.*+?^${}()|[\]\\/]/g, '\\$&');
    })
    .join('');
}

const tidy = (text: string): string =>
  text
    .trim()
    .split('\n')
    .map((line) => line.replaceAll(/[ \t]+/g, ' ').trimEnd())
    .join('\n');

/** What was printed, as a page may hold it: what differs from run to run as a word in angle brackets. */
export function asPattern(printed: string): string {
  return printed
    .trimEnd()
    .replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, '<id>')
    .replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, '<time>')
    .replaceAll(/drvs[\w-]*[_-][\w-]{16,}/g, '<token>')
    .replaceAll(/\b[0-9a-f]{16}\b/g, '<id>')
    .replaceAll(/http:\/\/127\.0\.0\.1:\d+/g, '<url>')
    .replaceAll(/\b\d+[smhd] ago\b|\bjust now\b/g, '…')
    .replaceAll(/\b\d+ bytes \([^)]*\)/g, '<n> bytes …')
    .replaceAll(/\b\d+(\.\d+)? ms\b/g, '<n> ms')
    .replaceAll(/[ \t]+$/gm, '');
}

/** The page with the outputs replaced (by the blocks' lines). */
export function withOutputs(markdown: string, outputs: ReadonlyMap<number, string>): string {
  const lines = markdown.split('\n');
  const blocks = parseTaskPage(markdown).flatMap((section) => section.blocks);
  for (const { line, output } of blocks.toReversed()) {
    const text = outputs.get(line);
    if (output && text !== undefined) lines.splice(output.firstLine, output.lines, ...text.split('\n'));
  }
  return lines.join('\n');
}

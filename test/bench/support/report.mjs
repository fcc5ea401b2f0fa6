// The figures of a benchmark: printed as a table with a verdict for each target, or as one JSON value with --json.
const sorted = (values) => [...values].sort((a, b) => a - b);

export const median = (values) => sorted(values)[values.length >> 1];

/** @param part 0 to 1 */
export const quantile = (values, part) =>
  sorted(values)[Math.min(values.length - 1, Math.floor(values.length * part))];

const spread = (values) => ({ median: median(values), min: Math.min(...values), max: Math.max(...values) });

const digits = (value) => (Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3));
const inWords = ({ median: middle, min, max }) =>
  min === max ? digits(middle) : `${digits(middle)} [${digits(min)}..${digits(max)}]`;

export class Report {
  #rows = [];

  /**
   * @param ours one value for each round; `peers` those of the same rounds
   * @param wanted `{ least }` or `{ most }` of the ratio where there is a peer, else of our median
   */
  add({ name, unit, ours, peer = null, peers = null, wanted = null, ratio = null }) {
    const ratios =
      ratio !== null ? [ratio] : peers === null ? null : ours.map((own, round) => own / peers[round]);
    const judged = ratios === null ? median(ours) : median(ratios);
    const verdict =
      wanted === null
        ? null
        : wanted.least !== undefined
          ? judged >= wanted.least
            ? 'met'
            : 'missed'
          : judged <= wanted.most
            ? 'met'
            : 'missed';
    this.#rows.push({
      name,
      unit,
      ours: spread(ours),
      peer,
      peers: peers === null ? null : spread(peers),
      ratio: ratios === null ? null : median(ratios),
      ratios: ratios === null ? null : spread(ratios),
      wanted,
      verdict,
    });
    const row = this.#rows.at(-1);
    console.error(`  ${lineOf(row)}`);
    return row;
  }

  /** Prints; with --json one JSON value on standard output and nothing else there. */
  end() {
    if (process.argv.includes('--json')) console.log(JSON.stringify(this.#rows, null, 2));
    const judged = this.#rows.filter(({ verdict }) => verdict !== null);
    const missed = judged.filter(({ verdict }) => verdict === 'missed');
    console.error(`\n${judged.length - missed.length} of ${judged.length} targets met`);
    for (const row of missed) console.error(`  missed: ${lineOf(row)}`);
  }
}

function lineOf({ name, unit, ours, peer, peers, ratios, wanted, verdict }) {
  const parts = [`${name}: ${inWords(ours)} ${unit}`];
  if (peers) parts.push(`${peer} ${inWords(peers)}`);
  if (ratios) parts.push(`ratio ${inWords(ratios)}`);
  if (wanted)
    parts.push(`${wanted.least !== undefined ? `≥ ${wanted.least}` : `≤ ${wanted.most}`}: ${verdict}`);
  return parts.join(', ');
}

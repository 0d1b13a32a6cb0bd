/** A burst is this many times above everything else, and lasts for less than this share of the time. */
const BURST_TIMES = 5;
const BURST_SHARE = 0.03;
const FEWEST = 12;
const STEPS = [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10];

/** The first round number that is not below `value`. */
export function roundUp(value: number): number {
  const unit = 10 ** Math.floor(Math.log10(value));
  return (STEPS.find((step) => step * unit >= value) ?? 10) * unit;
}

/**
 * Where an axis ends so that a short burst, as of a first copy, does not press all else to the ground; undefined where nothing has to be cut.
 */
export function ceilingOf(values: number[]): number | undefined {
  if (values.length < FEWEST) return undefined;
  const sorted = [...values].sort((a, b) => b - a);
  const rest = sorted[Math.max(3, Math.ceil(values.length * BURST_SHARE))] ?? 0;
  return rest > 0 && (sorted[0] ?? 0) > rest * BURST_TIMES ? roundUp(rest * 1.4) : undefined;
}

/** A small line from zero without axes; the figure beside it carries the value. Gaps stay gaps. */
export function Sparkline({ values, width = 96, height = 22, label }: { values: (number | null)[]; width?: number; height?: number; label: string }) {
  const max = Math.max(1e-9, ...values.map((value) => value ?? 0));
  const step = values.length > 1 ? width / (values.length - 1) : 0;
  let path = '';
  let pen = false;
  values.forEach((value, at) => {
    if (value === null) {
      pen = false;
      return;
    }
    path += `${pen ? 'L' : 'M'}${(at * step).toFixed(1)} ${(height - 1.5 - (value / max) * (height - 3)).toFixed(1)}`;
    pen = true;
  });
  return (
    <svg width={width} height={height} role="img" aria-label={label} style={{ display: 'block' }}>
      <path d={path} fill="none" stroke="var(--c1)" strokeWidth={1.4} strokeLinejoin="round" />
    </svg>
  );
}

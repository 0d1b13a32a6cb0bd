/** Placeholders of the size of what is loading. */
export const Bone = ({ width = '100%', height = 14 }: { width?: string | number; height?: number }) => <div className="skeleton" style={{ width, height }} />;

export function TableBones({ rows = 8 }: { rows?: number }) {
  return (
    <div aria-hidden>
      {Array.from({ length: rows }, (_, row) => (
        <div key={row} style={{ height: 37, display: 'flex', alignItems: 'center', gap: 24, borderBottom: '1px solid var(--rule)' }}>
          <Bone width={`${26 + ((row * 7) % 12)}%`} />
          <Bone width="12%" />
          <Bone width="10%" />
          <Bone width="16%" />
        </div>
      ))}
    </div>
  );
}

const StatBones = () => (
  <div className="stats">
    {Array.from({ length: 5 }, (_, at) => (
      <div key={at} style={{ display: 'grid', gap: 8 }}>
        <Bone width={64} height={10} />
        <Bone width={96} height={18} />
      </div>
    ))}
  </div>
);

const Head = () => (
  <div className="page-head">
    <Bone width={180} height={24} />
  </div>
);

export type SkeletonKind = 'list' | 'detail' | 'overview' | 'editor';

/** The skeleton of a whole page. */
export function PageBones({ kind }: { kind: SkeletonKind }) {
  if (kind === 'editor') {
    return (
      <div className="page" role="status" aria-label="Loading">
        <Bone width={240} height={24} />
        <div style={{ height: 16 }} />
        <Bone height={200} />
        <div style={{ height: 24 }} />
        <TableBones />
      </div>
    );
  }
  return (
    <div className="page" role="status" aria-label="Loading">
      <Head />
      {kind !== 'list' && <StatBones />}
      {kind === 'overview' && (
        <div style={{ marginTop: 32 }}>
          <Bone height={220} />
        </div>
      )}
      <div style={{ marginTop: kind === 'list' ? 16 : 32 }}>
        <TableBones rows={kind === 'overview' ? 4 : 10} />
      </div>
    </div>
  );
}

import { IconArrowRight } from '@tabler/icons-react';
import { Link } from '@tanstack/react-router';
import type { TableDetail } from '@/api/types';
import { placeOf, writerOf } from '@/lib/places';

/** What a table is made from and what is made from it. */
export function Lineage({ data }: { data: TableDetail }) {
  return (
    <div className="lineage">
      <Names title="Made from" names={data.upstream} nothing="Nothing that lakebox knows" />
      <div className="arrow">
        <IconArrowRight size={18} aria-hidden />
      </div>
      <div>
        <h3>This table</h3>
        <div className="here">
          {data.layer}.{data.name}
        </div>
        {data.writer && (
          <p className="muted" style={{ marginTop: 6 }}>
            written by the {data.writer.startsWith('model:') ? 'model' : 'pipeline'} <Link {...writerOf(data.writer).place}>{writerOf(data.writer).name}</Link>
          </p>
        )}
      </div>
      <div className="arrow">
        <IconArrowRight size={18} aria-hidden />
      </div>
      <Names title="Used by" names={data.downstream} nothing="No table yet" />
    </div>
  );
}

function Names({ title, names, nothing }: { title: string; names: string[]; nothing: string }) {
  return (
    <div>
      <h3>{title}</h3>
      {names.length === 0 && <p className="muted">{nothing}</p>}
      <ul>
        {names.map((name) => {
          const place = placeOf(name);
          return <li key={name}>{place ? <Link {...place}>{name}</Link> : <span className="mono">{name}</span>}</li>;
        })}
      </ul>
    </div>
  );
}

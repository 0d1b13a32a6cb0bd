/** Where things are shown: props for `<Link>`. */
export const tableAt = (layer: string, name: string) => ({ to: '/tables/$layer/$name', params: { layer, name } as never });
export const pipelineAt = (name: string) => ({ to: '/pipelines/$name', params: { name } as never });
export const modelAt = (name: string) => ({ to: '/models/$name', params: { name } as never });
/** Who writes a table: `model:orders` is a model, everything else a pipeline. */
export const writerOf = (writer: string) => {
  const name = writer.replace(/^model:/, '');
  return { name, place: name === writer ? pipelineAt(name) : modelAt(name) };
};

export const sqlWith = (query: string) => ({ to: '/sql', search: { q: query } as never });

/** Namespaces of SQL itself; every other one holds tables of the lake. */
const NOT_IN_THE_LAKE = ['system', 'pg_catalog', 'information_schema', 'public'];
const NAMESPACE = /^[a-z][a-z0-9_]*$/;

/** Where a `layer.name` is shown; undefined for tables outside the lake, such as a source's (`shop: public.orders`). */
export function placeOf(qualified: string) {
  const dot = qualified.indexOf('.');
  const layer = qualified.slice(0, dot);
  return NAMESPACE.test(layer) && !NOT_IN_THE_LAKE.includes(layer) ? tableAt(layer, qualified.slice(dot + 1)) : undefined;
}

const BARE = /^[a-z_][a-z0-9_$]*$/;

/** A name as SQL wants it: quoted only where it must be. */
export const quoted = (name: string): string => (BARE.test(name) ? name : `"${name.replaceAll('"', '""')}"`);

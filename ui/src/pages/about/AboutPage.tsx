import { Kbd, SegmentedControl, useMantineColorScheme } from '@mantine/core';
import { useSuspenseQuery } from '@tanstack/react-query';
import { about } from '@/api/queries';
import { Code, Page, Section, Stat, Stats } from '@/components/parts';

const KEYS: [string[], string][] = [
  [['Ctrl', 'K'], 'Find a page, a table, a saved query, or do something'],
  [['Ctrl', 'Enter'], 'Run the statement at the cursor, or what is selected'],
  [['Ctrl', 'S'], 'Save the query'],
  [['Ctrl', 'Space'], 'Complete'],
  [['Ctrl', 'C'], 'Copy the selected cells of a result'],
  [['Enter'], 'Open the selected cell'],
];

/** The theme, how to connect, and what this is. */
export default function AboutPage() {
  const { data } = useSuspenseQuery(about);
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  const [host, port] = data.pgwire.split(/:(?=\d+$)/);
  return (
    <Page title="Settings and about" about={data.demo ? 'This is the demo: its data is made up and goes when it stops.' : undefined}>
      <Section title="Theme">
        <SegmentedControl
          aria-label="Theme"
          value={colorScheme}
          onChange={(next) => setColorScheme(next as 'auto' | 'light' | 'dark')}
          data={[
            { value: 'auto', label: 'As the system' },
            { value: 'light', label: 'Light' },
            { value: 'dark', label: 'Dark' },
          ]}
        />
      </Section>
      <Section title="Connect">
        <p className="muted" style={{ marginBottom: 8 }}>
          Everything that speaks PostgreSQL can query the lake:
        </p>
        <Code text={`psql -h ${host} -p ${port ?? 5480} -d lakebox`} label="How psql connects" />
        <p className="muted" style={{ margin: '12px 0 8px' }}>
          The same over HTTP:
        </p>
        <Code text={`curl -s ${location.origin}/api/v1/sql -H 'content-type: application/json' -d '{"query": "select 1"}'`} label="How curl asks" />
      </Section>
      <Section title="Keyboard">
        <ul style={{ display: 'grid', gap: 8 }}>
          {KEYS.map(([keys, what]) => (
            <li key={what} className="row wrap">
              <span style={{ width: 120, flex: 'none' }}>
                {keys.map((key) => (
                  <Kbd key={key} size="xs" mr={4}>
                    {key}
                  </Kbd>
                ))}
              </span>
              <span className="muted">{what}</span>
            </li>
          ))}
        </ul>
      </Section>
      <Section title="About">
        <Stats>
          <Stat label="Version" value={data.version} />
          <Stat label="Licence" value={data.license} />
          <Stat label="Lake" value={<span className="mono">{data.warehouse}</span>} />
          <Stat label="Configuration" value={data.config_path ? <span className="mono">{data.config_path}</span> : 'none: this is the demo'} />
          <Stat label="PostgreSQL wire" value={<span className="mono">{data.pgwire}</span>} />
        </Stats>
      </Section>
    </Page>
  );
}

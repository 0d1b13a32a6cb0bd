import { ActionIcon, Button } from '@mantine/core';
import { IconCheck, IconCopy, type TablerIcon } from '@tabler/icons-react';
import { Link } from '@tanstack/react-router';
import { type ReactNode, useEffect, useRef, useState } from 'react';
import type { Problem } from '@/api/types';
import * as format from '@/lib/format';
import { useNow } from '@/lib/clock';
import { type Tone, ToneIcon } from './status';

/** A page: title, what it is about, what one can do. */
export function Page({
  title,
  crumbs,
  about,
  status,
  actions,
  children,
}: {
  title: string;
  crumbs?: { label: string; to: string; search?: object }[];
  about?: ReactNode;
  status?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
}) {
  useEffect(() => {
    document.title = `${title} · lakebox`;
  }, [title]);
  return (
    <div className="page">
      {crumbs && (
        <nav className="crumbs" aria-label="Where this is">
          {crumbs.map((crumb) => (
            <span key={crumb.label}>
              <Link to={crumb.to} search={(crumb.search ?? {}) as never}>
                {crumb.label}
              </Link>{' '}
              /
            </span>
          ))}
        </nav>
      )}
      <div className="page-head">
        <div className="grow">
          <div className="row wrap" style={{ columnGap: 12 }}>
            <h1>{title}</h1>
            {status}
          </div>
          {about && <p className="about">{about}</p>}
        </div>
        {actions && <div className="row wrap">{actions}</div>}
      </div>
      {children}
    </div>
  );
}

/** A part of a page under a thin rule. */
export function Section({ title, aside, children }: { title: string; aside?: ReactNode; children: ReactNode }) {
  return (
    <section className="section">
      <header>
        <h2>{title}</h2>
        {aside && <div className="aside">{aside}</div>}
      </header>
      {children}
    </section>
  );
}

export const Stats = ({ children }: { children: ReactNode }) => <dl className="stats live">{children}</dl>;

/** A figure with its name; `exact` is on hover. */
export function Stat({ label, value, exact, sub }: { label: string; value: ReactNode; exact?: string; sub?: ReactNode }) {
  return (
    <div className="stat">
      <dt>{label}</dt>
      <dd title={exact}>
        {value}
        {sub !== undefined && <span className="sub">{sub}</span>}
      </dd>
    </div>
  );
}

/** A sentence of the server's: what stands between backticks is a name or code. */
export function Prose({ text }: { text: string }) {
  return <>{text.split('`').map((part, at, all) => (at % 2 === 1 && at < all.length - 1 ? <code key={at}>{part}</code> : at % 2 === 1 ? `\`${part}` : part))}</>;
}

const prose = (text: ReactNode): ReactNode => (typeof text === 'string' ? <Prose text={text} /> : text);

/** Something that went wrong or right, with what to do. */
export function Notice({ tone, title, hint, children, actions }: { tone: Tone; title?: ReactNode; hint?: ReactNode; children?: ReactNode; actions?: ReactNode }) {
  return (
    <div className="notice" data-tone={tone} role={tone === 'bad' ? 'alert' : undefined}>
      <ToneIcon tone={tone} />
      <div className="grow">
        {title && <div className="title">{title}</div>}
        {children && <div>{prose(children)}</div>}
        {hint && <div className="hint">{prose(hint)}</div>}
      </div>
      {actions && <div className="notice-actions">{actions}</div>}
    </div>
  );
}

const HEADLINES: Record<number, string> = {
  400: 'The request was not understood',
  404: 'There is no such thing here',
  409: 'Not possible now',
  500: 'Something failed inside lakebox',
};

const SQL_HEADLINES: Record<string, string> = {
  'sql.busy': 'No place to run became free',
  'sql.conflict': 'Nothing was changed: others changed the same rows',
  'sql.timeout': 'The query took too long',
  'sql.memory': 'The query needs more memory than it may use',
  'sql.scan_limit': 'The query would read more than it may',
  'sql.cancelled': 'Somebody cancelled the query',
  'sql.broken_off': 'The result broke off',
};

/** What a person would call the failure; the protocol's own words (`Bad Request`) say little. */
function headline(problem: Problem): string {
  const known = SQL_HEADLINES[problem.code];
  if (known) return known;
  if (problem.code.startsWith('sql.')) return 'The query failed';
  return HEADLINES[problem.status] ?? (problem.title || 'This failed');
}

/** A failed call: what happened, where, what to do, retry. */
export function Failure({ problem, onRetry }: { problem: Problem; onRetry?: () => void }) {
  return (
    <Notice tone="bad" title={headline(problem)} hint={problem.hint} actions={onRetry && <Button onClick={onRetry}>Retry</Button>}>
      <Prose text={problem.detail} /> <span className="muted mono">{problem.code}</span>
    </Notice>
  );
}

/** Nothing here yet, and the one next step. */
export function Empty({ icon: Icon, title, children, next }: { icon: TablerIcon; title: string; children?: ReactNode; next?: ReactNode }) {
  return (
    <div className="empty">
      <Icon size={28} stroke={1.3} aria-hidden />
      <h2>{title}</h2>
      {children}
      {next && <div className="next">{next}</div>}
    </div>
  );
}

/** "12 s ago", ticking, with the exact time on hover. `past`: it can't be to come, whatever the clocks of server and browser say. */
export function Ago({ us: at, past = false }: { us: number | null | undefined; past?: boolean }) {
  const now = useNow();
  const us = past && at != null ? Math.min(at, now * 1000) : at;
  return (
    <time title={format.exactTime(us)} className="nowrap">
      {format.ago(us, now)}
    </time>
  );
}

export const Num = ({ value }: { value: number | null | undefined }) => <span title={format.exact(value)}>{format.number(value)}</span>;
export const Bytes = ({ value }: { value: number | null | undefined }) => <span title={format.exactBytes(value)}>{format.bytes(value)}</span>;

/** Copies text, and says that it did. */
export function CopyButton({ text, label = 'Copy', className }: { text: string; label?: string; className?: string }) {
  const [done, setDone] = useState(false);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  const copy = () => {
    void navigator.clipboard.writeText(text).then(() => {
      setDone(true);
      clearTimeout(timer.current);
      timer.current = setTimeout(() => setDone(false), 1_500);
    });
  };
  return (
    <ActionIcon onClick={copy} aria-label={done ? 'Copied' : label} title={done ? 'Copied' : label} className={className}>
      {done ? <IconCheck size={15} /> : <IconCopy size={15} />}
    </ActionIcon>
  );
}

/** Text for machines, with a button that copies it. */
export function Code({ text, label = 'Code' }: { text: string; label?: string }) {
  return (
    <div className="code" tabIndex={0} role="region" aria-label={label}>
      <pre>{text}</pre>
      <CopyButton text={text} className="copy" />
    </div>
  );
}

/** Views of one thing; the chosen one is in the URL. */
export function TabBar<T extends string>({
  label,
  tabs,
  value,
  onChange,
}: {
  label: string;
  tabs: { id: T; name: string; count?: number | undefined }[];
  value: T;
  onChange: (id: T) => void;
}) {
  const move = (step: number) => {
    const at = tabs.findIndex((tab) => tab.id === value);
    const next = tabs[(at + step + tabs.length) % tabs.length];
    if (next) onChange(next.id);
  };
  return (
    <div
      className="tabs"
      role="tablist"
      aria-label={label}
      onKeyDown={(event) => {
        if (event.key === 'ArrowRight') move(1);
        if (event.key === 'ArrowLeft') move(-1);
        if (event.key.startsWith('Arrow')) requestAnimationFrame(() => event.currentTarget?.querySelector<HTMLElement>('[aria-selected=true]')?.focus());
      }}
    >
      {tabs.map((tab) => (
        <button key={tab.id} type="button" role="tab" aria-selected={tab.id === value} tabIndex={tab.id === value ? 0 : -1} onClick={() => onChange(tab.id)}>
          {tab.name}
          {tab.count !== undefined && <span className="count">{format.number(tab.count)}</span>}
        </button>
      ))}
    </div>
  );
}

/** Progress with a known end. */
export function Bar({ share, label }: { share: number; label: string }) {
  const whole = Math.max(0, Math.min(1, share));
  return (
    <div className="bar" role="progressbar" aria-label={label} aria-valuemin={0} aria-valuemax={100} aria-valuenow={Math.round(whole * 100)}>
      <span style={{ width: `${whole * 100}%` }} />
    </div>
  );
}

import {
  IconAlertTriangle,
  IconCircleCheck,
  IconCircleX,
  IconClock,
  IconInfoCircle,
  IconLoader2,
  IconPlayerPause,
  IconPlayerStop,
  type TablerIcon,
} from '@tabler/icons-react';
import { sentence } from '@/lib/format';

export type Tone = 'ok' | 'warn' | 'bad' | 'busy' | 'calm';

const STATES: Record<string, [Tone, TablerIcon, string?]> = {
  ok: ['ok', IconCircleCheck],
  ready: ['ok', IconCircleCheck],
  done: ['ok', IconCircleCheck],
  streaming: ['ok', IconCircleCheck],
  current: ['ok', IconCircleCheck],
  starting: ['busy', IconLoader2],
  snapshot: ['busy', IconLoader2, 'Copying'],
  running: ['busy', IconLoader2],
  crawling: ['busy', IconLoader2],
  pending: ['calm', IconClock],
  waiting: ['calm', IconClock],
  new: ['calm', IconClock],
  paused: ['calm', IconPlayerPause],
  stopped: ['calm', IconPlayerStop],
  cancelled: ['calm', IconPlayerStop],
  retrying: ['warn', IconAlertTriangle],
  degraded: ['warn', IconAlertTriangle],
  warning: ['warn', IconAlertTriangle],
  failed: ['bad', IconCircleX],
  failing: ['bad', IconCircleX],
  error: ['bad', IconCircleX],
};

/** A state as colour, icon and word. Unknown states are shown as they are. */
export function Status({ state, word }: { state: string; word?: string | undefined }) {
  const [tone, Icon, name] = STATES[state] ?? (['calm', IconInfoCircle] as const);
  return (
    <span className="status" data-tone={tone}>
      <Icon size={15} stroke={1.8} aria-hidden className={Icon === IconLoader2 ? 'spin' : undefined} />
      {word ?? name ?? sentence(state)}
    </span>
  );
}

/** The icon of a tone, for notices. */
export function ToneIcon({ tone, size = 17 }: { tone: Tone; size?: number }) {
  const Icon = { ok: IconCircleCheck, warn: IconAlertTriangle, bad: IconCircleX, busy: IconLoader2, calm: IconInfoCircle }[tone];
  return <Icon size={size} stroke={1.8} aria-hidden />;
}

/** A state in the middle of a sentence. */
export const stateWord = (state: string): string => (STATES[state]?.[2] ?? state).toLowerCase();

/** How urgent a state is: what fails sorts first. */
export const urgency = (state: string): number => ['bad', 'warn', 'busy', 'calm', 'ok'].indexOf(STATES[state]?.[0] ?? 'calm');

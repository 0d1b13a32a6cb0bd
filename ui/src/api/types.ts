/**
 * The bodies of the HTTP API, named as the server names them. `npm run gen:types` writes `types.gen.ts` from `openapi.json`, so that a field that
 * the server drops or changes fails the type check here.
 * Times are microseconds since 1970 in UTC (`…_us`, `…_at`), durations milliseconds (`…_ms`).
 */
import type { components } from './types.gen';

type Schemas = components['schemas'];

export type Problem = Schemas['Problem'];
export type Overview = Schemas['Overview'];
export type Issue = Schemas['Issue'];
export type LayerHealth = Schemas['LayerHealth'];
export type StateCount = Schemas['StateCount'];
export type Storage = Schemas['Storage'];
export type Process = Schemas['Process'];
export type About = Schemas['About'];
export type Pipeline = Schemas['Pipeline'];
export type FlowError = Schemas['FlowError'];
export type Snapshot = Schemas['Snapshot'];
export type PipelineTable = Schemas['PipelineTable'];
export type Throughput = Schemas['Throughput'];
export type ThroughputPoint = Schemas['ThroughputPoint'];
export type Transform = Schemas['Transform'];
export type DeadLetter = Schemas['DeadLetter'];
export type Model = Schemas['Model'];
export type ModelRun = Schemas['ModelRun'];
export type SqlEstimate = Schemas['SqlEstimate'];
export type SqlRequest = Schemas['SqlRequest'];
export type SqlColumn = Schemas['SqlColumn'];
export type SqlResponse = Schemas['SqlResponse'];
export type AsOf = Schemas['AsOf'];
export type QueryRun = Schemas['QueryRun'];
export type SchemaTree = Schemas['SchemaTree'];
export type SchemaTable = Schemas['SchemaTable'];
export type TableSummary = Schemas['TableSummary'];
export type TableDetail = Schemas['TableDetail'];
export type Property = Schemas['Property'];
export type TableColumn = Schemas['TableColumn'];
export type TableSnapshot = Schemas['TableSnapshot'];
export type TableFile = Schemas['TableFile'];
export type Advice = Schemas['Advice'];
export type Advices = Schemas['Advices'];
export type AppliedLayout = Schemas['AppliedLayout'];
export type Upkeep = Schemas['Upkeep'];
export type UpkeepAnswer = Schemas['UpkeepAnswer'];
export type UpkeepRun = Schemas['UpkeepRun'];
export type Upload = Schemas['Upload'];
export type Crawler = Schemas['Crawler'];
export type CrawledTable = Schemas['CrawledTable'];
export type Drift = Schemas['Drift'];
/** A saved query as the server gives it: the id may only be missing in a `POST`. */
export type SavedQuery = Required<Schemas['SavedQuery']>;

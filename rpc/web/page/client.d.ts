// Types of client.js, the small JavaScript client of the daemon.

export type Status = "todo" | "in_progress" | "blocked" | "done";
export type Priority = "low" | "medium" | "high" | "critical";
export type Complexity = "trivial" | "simple" | "moderate" | "complex" | "epic";

export interface Task {
  id: string;
  title: string;
  description: string | null;
  status: Status;
  priority: Priority;
  complexity: Complexity;
  assigned_to: string | null;
  dependencies: string[];
  metadata: Record<string, unknown>;
  created_at: number; // Unix milliseconds
  updated_at: number;
  version: number;
  ready: boolean;
  leased_by: string | null;
}

export interface TaskEvent {
  seq: number;
  cursor: string;
  change_type: "created" | "updated" | "deleted";
  task_id: string;
  task?: Task; // absent with include_task: false
  previous_status: Status | null;
  new_status: Status | null;
  previous?: Partial<Task>;
  coalesced: number;
  left?: true;
  own?: true;
  origin: "rpc" | "external" | "lease";
  actor: string | null;
  tx_last?: number;
  timestamp: number;
}

export interface Filter {
  status?: Status[];
  priority_at_least?: Priority;
  assigned_to?: (string | null)[];
  ids?: string[];
  ready?: boolean;
  text?: string;
  change_types?: ("created" | "updated" | "deleted")[];
  status_changes_only?: boolean;
}

export interface SubscribeParams {
  filter?: Filter;
  since?: string; // a cursor, or "start"
  snapshot?: boolean;
  debounce_ms?: number;
  include_task?: boolean;
  batch?: { max?: number; wait_ms?: number };
}

export interface Handlers {
  /** Every task that matches: at first, and whenever the view has to begin anew, because the
   *  cursor was refused or the journal was pruned. What is not in it is gone. With
   *  include_task: false a task has its id and version, and nothing else. */
  snapshot?(tasks: Task[]): void;
  /** A change, in the order of the journal, never twice. */
  event?(event: TaskEvent): void;
  /** The past is over. late: how many changes came late, since the connection was lost; null:
   *  nobody knows, there was a snapshot. */
  live?(late: number | null): void;
  /** Only with since: "start": the journal is told once more from its oldest event. */
  reset?(): void;
  /** The daemon refused the subscription for good. */
  error?(error: RpcError): void;
}

export interface Subscription {
  readonly live: boolean;
  readonly cursor: string | null;
  close(): void;
}

export interface Options {
  /** Sent as the subprotocol bearer.TOKEN. */
  token?: string;
  /** Reads a message; default JSON.parse. */
  parse?(text: string): any;
  /** Milliseconds to wait before an attempt, which is numbered from 0. Default: 0.25 s, doubled
   *  up to 10 s, of which half is random. Of several daemons the others are tried at once; the
   *  pauses are between rounds. */
  backoff?(attempt: number): number;
  /** Milliseconds that a daemon may say nothing, though it is asked, until the connection is given
   *  up, within a second more. Default: 25 s, or 10 s where there are several daemons, of which one
   *  that does not let in within 2 s is given up, too. */
  silence?: number;
}

/** Tells of a change of its state by an event "state". */
export class Client extends EventTarget {
  /** live: everything that is shown is as of now, so far as the daemon knows: GET /readyz tells
   *  whether one of a cluster has what the others have. catching up: connected, but changes are still
   *  on the way, or nothing has been heard for 19 s. away: not connected. */
  readonly state: "live" | "catching up" | "away";
  readonly reason: "" | "connecting" | "unreachable" | "unauthorized" | "closed";
  readonly since: number; // Unix milliseconds
  readonly retryAt: number; // 0: no attempt is planned
  readonly heardAt: number;
  readonly url: string; // of the daemon that is used, or tried

  /** Rejects with an RpcError that the daemon answered, or a ConnectionError. Of several daemons
   *  the next one is asked where that changes nothing: what was not sent, what only reads, and what
   *  was answered with shutting_down. */
  call<Result = unknown>(method: string, params?: object | unknown[]): Promise<Result>;
  /** Default: a snapshot, then every change. */
  subscribe(params?: SubscribeParams, handlers?: Handlers): Subscription;
  retry(): void;
  setToken(token: string): void;
  close(): void;
}

export class RpcError extends Error {
  readonly code: number;
  /** "version_conflict", …; after "outcome_unknown" nobody knows whether the write was or will be made. */
  readonly reason?: string;
  readonly data: Record<string, any>;
}

export class ConnectionError extends Error {
  /** The request was sent: nobody knows whether it was carried out. */
  readonly sent: boolean;
}

/** url: default the daemon that served this page. Several are of daemons with one journal, as those
 *  of a cluster: the first one that answers is used, and the next one when that is lost, at once. A
 *  daemon with another journal is not used, unless there is nothing else and there are subscriptions:
 *  these begin anew then. */
export function connect(url?: string | string[], options?: Options): Client;

/** Questions to the bridge and their answers, matched by `n` or `id`. */

import type { AskFrame, ClientFrame, ErrorBody, FrameName, NumberedFrame, ResultFrame } from "../protocol.ts";
import type { Json } from "../shape.ts";
import type { Cancel } from "./observe.ts";
import type { Clock } from "./ports.ts";

/** The connection went away, or the answer did not come: ask again after the next welcome. */
export class Disconnected extends Error {
  override readonly name = "Disconnected";
}

/** The bridge said no. */
export class Refused extends Error {
  override readonly name = "Refused";
  constructor(readonly body: ErrorBody) {
    super(body.code);
  }
}

export type Answer = Extract<ResultFrame, { ok: true }>;
type WithoutId<T> = T extends unknown ? Omit<T, "id"> : never;
export type Question = WithoutId<AskFrame>;

interface Pending {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
  readonly timer: Cancel;
}

const PATIENCE_MS = 20_000;

export class Requests {
  private readonly pending = new Map<string, Pending>();
  private lastId = 0;

  constructor(
    private readonly clock: Clock,
    private readonly line: { send(frame: ClientFrame): boolean; restart(): void },
  ) {}

  /** Throws `Refused` or `Disconnected`. */
  async ask(question: Question): Promise<Json> {
    this.lastId += 1;
    const id = this.lastId;
    return (await this.exchange({ ...question, id } as AskFrame, { id })).body ?? {};
  }

  /** Throws `Refused` or `Disconnected`. */
  deliver(frame: NumberedFrame): Promise<Answer> {
    return this.exchange(frame, { n: frame.n });
  }

  answer(result: ResultFrame): void {
    const waiting = this.take(result.to);
    if (waiting === undefined) return;
    if (result.ok) waiting.resolve(result);
    else waiting.reject(new Refused(result.error));
  }

  dropAll(): void {
    for (const waiting of this.pending.values()) {
      waiting.timer();
      waiting.reject(new Disconnected());
    }
    this.pending.clear();
  }

  private exchange(frame: AskFrame | NumberedFrame, name: FrameName): Promise<Answer> {
    return new Promise((resolve, reject) => {
      // Silence means a dead socket, and the bridge forgives a frame that comes twice.
      const timer = this.clock.after(PATIENCE_MS, () => this.line.restart());
      this.pending.set(key(name), { resolve, reject, timer });
      if (!this.line.send(frame)) {
        this.take(name);
        reject(new Disconnected());
      }
    });
  }

  private take(name: FrameName): Pending | undefined {
    const waiting = this.pending.get(key(name));
    waiting?.timer();
    this.pending.delete(key(name));
    return waiting;
  }
}

function key(name: FrameName): string {
  return "n" in name ? `n${name.n}` : `id${name.id}`;
}

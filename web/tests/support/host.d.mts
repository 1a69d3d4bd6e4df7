import type { CryptoMachine } from "../../src/domain/machine.ts";
import type { Json } from "../../src/shape.ts";

export declare class Host {
  constructor(
    Machine: { create(user: string, device: string, host: string, now: number): CryptoMachine },
    userId: string,
    ghost: string,
    room: string,
    device?: string,
  );
  query(): Json;
  claim(): Json;
  meets(device: string, keys: Json, claimed?: () => Json): void;
  reads(content: Json, eventId: string): string;
  takesKey(content: unknown): void;
  writes(text: string): { readonly toDevice: readonly Json[]; readonly content: Json };
}

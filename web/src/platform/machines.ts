/** Loads the WebAssembly once, and makes machines with it. */

import type { CryptoMachine, Machines } from "../domain/machine.ts";
import { ApiError } from "../domain/ports.ts";
import { pageBase } from "./address.ts";
import { breath } from "./breath.ts";
import { Machine, load as loadWasm } from "./wasm.mjs";

/** Put in by the build: the file's name carries a hash of its content. */
declare const WASM_FILE: string;

/** So few that a slow phone makes them between two frames. */
const KEYS_AT_ONCE = 6;

export function wasmMachines(): Machines {
  let loaded: Promise<void> | null = null;
  const begin = async (): Promise<void> => {
    try {
      const file = new URL(WASM_FILE, pageBase());
      await loadWasm((imports) => WebAssembly.instantiateStreaming(fetch(file), imports));
    } catch (error) {
      // So that the next call tries again: most likely the network was away.
      loaded = null;
      console.error(error);
      throw new ApiError({ code: "offline", retryAfterMs: null });
    }
  };
  const load = (): Promise<void> => (loaded ??= begin());
  return {
    warmUp: () => void load().catch(() => undefined),
    create: async (userId, deviceId, hostId, nowMs): Promise<CryptoMachine> => {
      await load();
      const machine = Machine.create(userId, deviceId, hostId, nowMs);
      do await breath();
      while (machine.makeKeys(KEYS_AT_ONCE));
      return machine;
    },
    open: async (records): Promise<CryptoMachine> => {
      await load();
      return Machine.open(JSON.stringify(Object.fromEntries(records)));
    },
  };
}

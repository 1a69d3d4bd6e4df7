/** Loads the WebAssembly once, and makes machines with it. */

import init, { Machine } from "../../wasm/pkg/vestibule_web.js";
import type { CryptoMachine, Machines } from "../domain/machine.ts";
import { ApiError } from "../domain/ports.ts";
import { pageBase } from "./address.ts";

/** Put in by the build: the file's name carries a hash of its content. */
declare const WASM_FILE: string;

export function wasmMachines(): Machines {
  let loaded: Promise<void> | null = null;
  const begin = async (): Promise<void> => {
    try {
      await init({ module_or_path: new URL(WASM_FILE, pageBase()) });
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
      return Machine.create(userId, deviceId, hostId, nowMs);
    },
    open: async (records): Promise<CryptoMachine> => {
      await load();
      return Machine.open(JSON.stringify(Object.fromEntries(records)));
    },
  };
}

import { StoreError } from "../domain/ports.ts";
import type { Locks } from "../domain/ports.ts";

/** Web Locks under the page's own prefix, because several bridges may share one origin. */
export function webLocks(prefix: string): Locks {
  return {
    take: (id, steal, lost) =>
      new Promise((resolve, reject) => {
        let held = false;
        const hold = (lock: Lock | null): Promise<void> | null => {
          if (lock === null) {
            resolve(null);
            return null;
          }
          held = true;
          return new Promise((release) => {
            resolve(() => {
              held = false;
              release();
            });
          });
        };
        const options: LockOptions = steal ? { steal: true } : { ifAvailable: true };
        navigator.locks.request(`vestibule:${prefix}:${id}`, options, hold).catch((error: unknown) => {
          if (held) lost();
          // Refused together with storage.
          else reject(new StoreError("failed", { cause: error }));
        });
      }),
  };
}

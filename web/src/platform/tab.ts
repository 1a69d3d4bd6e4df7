import type { TabMemory } from "../domain/ports.ts";

/** `sessionStorage`: one tab's own, gone when it closes. */
export function tabMemory(prefix: string): TabMemory {
  const name = (key: string): string => `vestibule:${prefix}:${key}`;
  return {
    get: (key) => sessionStorage.getItem(name(key)),
    set: (key, value) => {
      if (value === null) sessionStorage.removeItem(name(key));
      else sessionStorage.setItem(name(key), value);
    },
  };
}

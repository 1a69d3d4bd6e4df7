import type { TabKey, TabMemory } from "../domain/ports.ts";

/** `sessionStorage`: one tab's own, gone when it closes. Where it is refused, memory, gone with the page. */
export function tabMemory(prefix: string): TabMemory {
  const name = (key: TabKey): string => `vestibule:${prefix}:${key}`;
  const storage = lastingStorage();
  const memory = new Map<TabKey, string>();
  return {
    lasting: storage !== null,
    get: (key) => (storage === null ? (memory.get(key) ?? null) : storage.getItem(name(key))),
    set(key, value) {
      if (value === null) memory.delete(key);
      else memory.set(key, value);
      if (value === null) storage?.removeItem(name(key));
      else storage?.setItem(name(key), value);
    },
  };
}

/** With all cookies blocked, browsers refuse even the question for it. */
function lastingStorage(): Storage | null {
  try {
    return sessionStorage;
  } catch {
    return null;
  }
}

/** The one way in which view models tell views that something changed. */

/** Ends a subscription or a timer. Calling it again does nothing. */
export type Cancel = () => void;

export class Signal<T> {
  private readonly listeners = new Set<(event: T) => void>();

  subscribe(listener: (event: T) => void): Cancel {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  emit(event: T): void {
    for (const listener of [...this.listeners]) listener(event);
  }
}

/** A value that tells when it is replaced. */
export class Value<T> {
  private readonly changed = new Signal<T>();

  constructor(private current: T) {}

  get(): T {
    return this.current;
  }

  set(value: T): void {
    if (Object.is(value, this.current)) return;
    this.current = value;
    this.changed.emit(value);
  }

  /** Calls at once with the current value, then with each new one. */
  bind(listener: (value: T) => void): Cancel {
    listener(this.current);
    return this.changed.subscribe(listener);
  }
}

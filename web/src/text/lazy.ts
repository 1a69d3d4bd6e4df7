/** Made when it is first asked for, and kept: the formatters of `Intl` take long to make. */
export function lazy<T extends object>(make: () => T): () => T {
  let made: T | null = null;
  return () => (made ??= make());
}

export const SCENES: Readonly<Record<string, { readonly screen: string; readonly banner?: string; readonly ending?: string }>>;

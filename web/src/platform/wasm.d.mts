export { Machine } from "../../wasm/pkg/vestibule_web.js";

export function load(
  instantiate: (imports: WebAssembly.Imports) => Promise<WebAssembly.WebAssemblyInstantiatedSource>,
): Promise<void>;

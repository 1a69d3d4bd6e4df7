// Puts the WebAssembly and its glue together: JavaScript, so that Node can load it as well.

import * as glue from "../../wasm/pkg/vestibule_web_bg.js";

export { Machine } from "../../wasm/pkg/vestibule_web_bg.js";

/** `instantiate` gets the imports; before its end no `Machine` can be made. */
export async function load(instantiate) {
  const { instance } = await instantiate({ "./vestibule_web_bg.js": glue });
  glue.__wbg_set_wasm(instance.exports);
  instance.exports.__wbindgen_start();
}

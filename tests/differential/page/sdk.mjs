// The least that a page with matrix-js-sdk does before one could write: its crypto machine, with its
// stores in IndexedDB, is there. There is no homeserver: what it would load from one comes on top.
import { createClient } from "matrix-js-sdk";

document.getElementById("root").append(Object.assign(document.createElement("p"), { textContent: "Opening…" }));
const client = createClient({ baseUrl: location.origin, userId: "@maya:example.org", deviceId: "GUESTDEV", accessToken: "none" });
await client.initRustCrypto();
const keys = await client.getCrypto().getOwnDeviceKeys();
document.getElementById("root").dataset.screen = keys.ed25519 === undefined ? "failed" : "ready";

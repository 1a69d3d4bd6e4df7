import assert from "node:assert/strict";
import { test } from "node:test";
import { webSockets } from "../src/platform/socket.ts";

/** What a browser's WebSocket is to the page. */
class Wire extends EventTarget {
  static readonly OPEN = 1;
  static made: Wire[] = [];
  readyState = 0;
  readonly sent: string[] = [];
  constructor(readonly address: string) {
    super();
    Wire.made.push(this);
  }
  send(text: string): void {
    this.sent.push(text);
  }
  close(): void {
    this.readyState = 3;
  }
  open(): void {
    this.readyState = 1;
  }
  hear(data: unknown): void {
    this.dispatchEvent(new MessageEvent("message", { data }));
  }
  end(): void {
    this.readyState = 3;
    this.dispatchEvent(new Event("close"));
  }
}

function wires(): Wire[] {
  Wire.made = [];
  Object.assign(globalThis, { WebSocket: Wire, location: new URL("https://chat.example.org/guests/"), document: { baseURI: "https://chat.example.org/guests/" } });
  return Wire.made;
}

function listener(): { readonly heard: string[]; closed: number; message(text: string): void } {
  return { heard: [], closed: 0, message(text) { this.heard.push(text); } };
}

function open(events: ReturnType<typeof listener>): ReturnType<typeof webSockets.open> {
  return webSockets.open({ message: (text) => events.message(text), closed: () => (events.closed += 1) });
}

test("what was dialled ahead is the next one opened, with all that it heard", async () => {
  const made = wires();
  webSockets.warmUp();
  webSockets.warmUp();
  assert.equal(made.length, 1);
  made[0]?.open();
  made[0]?.hear("challenge");
  const events = listener();
  const socket = open(events);
  assert.equal(made.length, 1);
  assert.deepEqual(events.heard, [], "nothing is heard before it is in hand");
  await Promise.resolve();
  made[0]?.hear("welcome");
  made[0]?.hear(new ArrayBuffer(1));
  assert.deepEqual(events.heard, ["challenge", "welcome", ""]);
  socket.send("hello");
  assert.deepEqual(made[0]?.sent, ["hello"]);
  made[0]?.end();
  made[0]?.end();
  assert.equal(events.closed, 1);

  open(listener());
  assert.equal(made.length, 2, "each is used once");
});

test("what ended before it was wanted is not used", () => {
  const made = wires();
  webSockets.warmUp();
  made[0]?.end();
  const events = listener();
  open(events);
  assert.equal(made.length, 2);
  assert.equal(events.closed, 0);
});

test("what was closed is silent, and loses what is sent", async () => {
  const made = wires();
  webSockets.warmUp();
  made[0]?.hear("challenge");
  const events = listener();
  const socket = open(events);
  socket.close();
  await Promise.resolve();
  made[0]?.hear("late");
  made[0]?.end();
  socket.send("lost");
  assert.deepEqual([events.heard, events.closed, made[0]?.sent], [[], 0, []]);
});

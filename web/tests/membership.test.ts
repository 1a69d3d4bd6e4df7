/** The host comes: from then on the messages are of a new session, for the devices that they have then. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { string } from "../src/shape.ts";
import { RealBridge, RealMachines } from "./support/real.ts";
import { Browser } from "./support/world.ts";

/** A bridge whose welcome says whether the host is there. */
class Waiting extends RealBridge {
  joined = false;

  override say(frame: object): void {
    super.say("host_joined" in frame ? { ...frame, host_joined: this.joined } : frame);
  }

  /** The Megolm session of each message so far. */
  sessions(): string[] {
    return [...this.committed.values()].flatMap((frame) => (frame.type === "send" ? [string(frame.content["session_id"], "session_id")] : []));
  }
}

async function chatting(): Promise<{ bridge: Waiting; browser: Browser<RealMachines>; say: (text: string) => Promise<void> }> {
  const bridge = new Waiting();
  const browser = new Browser(new RealMachines(), bridge);
  const tab = await browser.chatting();
  const say = async (text: string): Promise<void> => {
    await tab.say(text);
    await browser.clock.advance(1_000);
  };
  await say("before");
  await say("still before");
  return { bridge, browser, say };
}

test("the frame that tells of the host's arrival begins a new session, and only once", async () => {
  const { bridge, browser, say } = await chatting();
  const asked = (): number => bridge.heard.filter(({ type }) => type === "keys_query").length;
  const before = asked();
  bridge.joined = true;
  bridge.put({ type: "host", joined: true });
  await browser.clock.advance(1_000);
  await say("after");
  bridge.put({ type: "host", joined: true });
  await browser.clock.advance(1_000);
  await say("still after");
  const [first, second, third, fourth] = bridge.sessions();
  assert.equal(first, second);
  assert.notEqual(second, third);
  assert.equal(third, fourth);
  assert.equal(asked(), before + 1, "the devices were asked for anew");
  assert.deepEqual(bridge.hostRead, ["before", "still before", "after", "still after"]);
});

test("so does a welcome that tells of it", async () => {
  const { bridge, browser, say } = await chatting();
  bridge.drop();
  await browser.clock.advance(5_000);
  await say("connected again");
  bridge.joined = true;
  bridge.drop();
  await browser.clock.advance(5_000);
  await say("after");
  const [first, , again, after] = bridge.sessions();
  assert.equal(first, again, "a new connection alone begins none");
  assert.notEqual(again, after);
  assert.deepEqual(bridge.hostRead.at(-1), "after");
});

import type { Socket, SocketEvents, Sockets } from "../domain/ports.ts";
import { socketUrl } from "./address.ts";

/** What was dialled ahead and not asked for yet. */
let ahead: Dialled | null = null;

interface Dialled extends Socket {
  /** Hands over what came so far, and all that comes. */
  listen(events: SocketEvents): void;
}

export const webSockets: Sockets = {
  warmUp() {
    ahead ??= dial();
  },
  open(events) {
    const dialled = ahead ?? dial();
    ahead = null;
    dialled.listen(events);
    return dialled;
  },
};

function dial(): Dialled {
  const socket = new WebSocket(socketUrl());
  const heard: string[] = [];
  let events: SocketEvents = { message: (text) => void heard.push(text), closed: () => undefined };
  let live = true;
  const dialled: Dialled = {
    listen(wanted) {
      events = wanted;
      // Not before whoever asked has it in hand.
      queueMicrotask(() => heard.forEach((text) => live && wanted.message(text)));
    },
    // A frame that finds no open socket is lost like one that is lost on the way: it is sent again.
    send: (text) => {
      if (socket.readyState === WebSocket.OPEN) socket.send(text);
    },
    close: () => {
      live = false;
      socket.close();
    },
  };
  socket.addEventListener("message", ({ data }: MessageEvent<unknown>) => {
    // The protocol has text frames only; anything else reads as a bad frame.
    if (live) events.message(typeof data === "string" ? data : "");
  });
  socket.addEventListener("close", () => {
    // Nobody wants one that ended before it was asked for.
    if (ahead === dialled) ahead = null;
    if (!live) return;
    live = false;
    events.closed();
  });
  return dialled;
}

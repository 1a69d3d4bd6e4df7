import type { Sockets } from "../domain/ports.ts";
import { socketUrl } from "./address.ts";

export const webSockets: Sockets = {
  open(events) {
    const socket = new WebSocket(socketUrl());
    let live = true;
    socket.addEventListener("message", ({ data }: MessageEvent<unknown>) => {
      if (!live) return;
      // The protocol has text frames only; anything else reads as a bad frame.
      events.message(typeof data === "string" ? data : "");
    });
    socket.addEventListener("close", () => {
      if (!live) return;
      live = false;
      events.closed();
    });
    return {
      // A frame that finds no open socket is lost like one that is lost on the way: it is sent again.
      send: (text) => {
        if (socket.readyState === WebSocket.OPEN) socket.send(text);
      },
      close: () => {
        live = false;
        socket.close();
      },
    };
  },
};

// As much of RFC 6455 as a preview needs: text frames of one piece, and close.

import { createHash } from "node:crypto";

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** Answers an upgrade; gives `{send(text), close()}`. `onText` and `onClose` are called as things come. */
export function accept(request, socket, onText, onClose) {
  const key = createHash("sha1").update(request.headers["sec-websocket-key"] + GUID).digest("base64");
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${key}\r\n\r\n`);
  let pending = Buffer.alloc(0);
  let open = true;
  const ended = () => {
    if (open) onClose();
    open = false;
  };
  socket.on("data", (chunk) => {
    pending = Buffer.concat([pending, chunk]);
    for (let frame = next(pending); frame !== null; frame = next(pending)) {
      pending = pending.subarray(frame.size);
      if (frame.opcode === 1) onText(frame.payload.toString("utf8"));
      if (frame.opcode === 8) socket.end(head(8, 0));
    }
  });
  socket.on("close", ended);
  socket.on("error", ended);
  return {
    send(text) {
      const payload = Buffer.from(text);
      if (open) socket.write(Buffer.concat([head(1, payload.length), payload]));
    },
    close: () => socket.destroy(),
  };
}

function head(opcode, length) {
  if (length < 126) return Buffer.from([0x80 | opcode, length]);
  const header = Buffer.alloc(length < 65_536 ? 4 : 10);
  header[0] = 0x80 | opcode;
  header[1] = length < 65_536 ? 126 : 127;
  if (length < 65_536) header.writeUInt16BE(length, 2);
  else header.writeBigUInt64BE(BigInt(length), 2);
  return header;
}

function next(buffer) {
  if (buffer.length < 2) return null;
  let length = buffer[1] & 0x7f;
  let at = 2;
  if (length === 126) {
    if (buffer.length < 4) return null;
    length = buffer.readUInt16BE(2);
    at = 4;
  } else if (length === 127) {
    if (buffer.length < 10) return null;
    length = Number(buffer.readBigUInt64BE(2));
    at = 10;
  }
  const size = at + 4 + length;
  if (buffer.length < size) return null;
  const mask = buffer.subarray(at, at + 4);
  const payload = Buffer.from(buffer.subarray(at + 4, size));
  for (let i = 0; i < length; i += 1) payload[i] ^= mask[i % 4];
  return { opcode: buffer[0] & 0x0f, payload, size };
}

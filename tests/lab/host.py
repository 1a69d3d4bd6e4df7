"""A host with matrix-nio, driven by JSON lines.

One command a line on stdin, `{"id": 1, "cmd": "send", "room_id": "!…", "text": "…"}`; its answer on
stdout is `{"id": 1, "ok": true, "result": {…}}` or `{"id": 1, "ok": false, "error": {"status",
"errcode", "message"}}`. What happens by itself comes as `{"event": "…", …}` in between. The client
trusts every device it meets, as most hosts do, and keeps its keys below the folder it is given.
"""

import asyncio
import json
import logging
import sys
import time

from nio import (
    AsyncClient,
    AsyncClientConfig,
    InviteMemberEvent,
    LoginResponse,
    MegolmEvent,
    RoomMemberEvent,
    RoomMessage,
    UnknownEvent,
)


# Synapse sends ten events a room by default; what was said during an outage would be left out.
WHOLE_TIMELINE = {"room": {"timeline": {"limit": 100}}}


class Refused(Exception):
    """The homeserver, or nio itself, said no."""

    def __init__(self, status, errcode, message):
        super().__init__(message)
        self.answer = {"status": status, "errcode": errcode, "message": message}


def write(line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


class Host:
    def __init__(self):
        self.client = None
        self.syncing = None
        self.invites_told = set()

    async def login(self, homeserver, user, password, store):
        config = AsyncClientConfig(store_sync_tokens=True, encryption_enabled=True)
        self.client = AsyncClient(
            homeserver, user, device_id="", store_path=store, config=config
        )
        answer = await self.client.login(password, device_name="nio host")
        if not isinstance(answer, LoginResponse):
            raise Refused(0, getattr(answer, "status_code", "M_UNKNOWN"), str(answer))
        # The first sync uploads the keys; a host that is not ready yet must not be invited.
        await self.client.sync(timeout=0, full_state=True)
        if self.client.should_upload_keys:
            await self.client.keys_upload()
        self.client.add_event_callback(self.on_message, RoomMessage)
        self.client.add_event_callback(self.on_undecryptable, MegolmEvent)
        self.client.add_event_callback(self.on_unknown, UnknownEvent)
        self.client.add_event_callback(self.on_member, RoomMemberEvent)
        self.client.add_event_callback(self.on_invite, InviteMemberEvent)
        self.syncing = asyncio.create_task(self.sync())
        return {"user_id": self.client.user_id, "device_id": self.client.device_id}

    async def sync(self):
        # A homeserver that restarts in the middle of a test is waited for.
        while True:
            try:
                await self.client.sync_forever(
                    timeout=30000, full_state=False, sync_filter=WHOLE_TIMELINE
                )
            except Exception as error:  # noqa: BLE001, whatever it was, the host goes on
                logging.warning("sync failed: %r", error)
                await asyncio.sleep(0.5)

    # What happens by itself.

    async def on_message(self, room, event):
        write(
            {
                "event": "message",
                "room_id": room.room_id,
                "event_id": event.event_id,
                "sender": event.sender,
                "display_name": room.user_name(event.sender),
                "msgtype": event.source.get("content", {}).get("msgtype"),
                "body": getattr(event, "body", ""),
                "decrypted": bool(event.decrypted),
                "sent_ms": event.server_timestamp,
                "seen_ms": int(time.time() * 1000),
            }
        )

    async def on_undecryptable(self, room, event):
        write(
            {
                "event": "undecryptable",
                "room_id": room.room_id,
                "event_id": event.event_id,
                "sender": event.sender,
            }
        )

    async def on_unknown(self, room, event):
        write(
            {
                "event": "other",
                "room_id": room.room_id,
                "event_id": event.event_id,
                "sender": event.sender,
                "type": event.type,
            }
        )

    async def on_member(self, room, event):
        write(
            {
                "event": "member",
                "room_id": room.room_id,
                "member": event.state_key,
                "membership": event.membership,
            }
        )

    async def on_invite(self, room, event):
        if event.state_key != self.client.user_id or event.membership != "invite":
            return
        if room.room_id in self.invites_told:
            return
        self.invites_told.add(room.room_id)
        write(
            {
                "event": "invite",
                "room_id": room.room_id,
                "inviter": event.sender,
                "display_name": room.user_name(event.sender),
                "is_direct": bool(event.content.get("is_direct")),
                "reason": event.content.get("reason"),
            }
        )

    # What is asked for.

    async def request(self, method, path, body=None):
        """Any call of the client-server API, with this host's token."""
        data = None if body is None else json.dumps(body)
        headers = {
            "Authorization": f"Bearer {self.client.access_token}",
            "Content-Type": "application/json",
        }
        response = await self.client.send(method, path, data, headers)
        # A file is no text.
        text = (await response.read()).decode(errors="replace")
        try:
            parsed = json.loads(text) if text else {}
        except ValueError:
            parsed = {"error": text}
        return {"status": response.status, "body": parsed}

    async def called(self, method, path, body=None):
        """The same, where anything but success is an error."""
        answer = await self.request(method, path, body)
        if answer["status"] >= 400:
            said = answer["body"]
            raise Refused(answer["status"], said.get("errcode"), said.get("error"))
        return answer["body"]

    async def create_dm(self, user_id):
        body = {"preset": "private_chat", "is_direct": True, "invite": [user_id]}
        answer = await self.called("POST", "/_matrix/client/v3/createRoom", body)
        await self.knows(answer["room_id"])
        return {"room_id": answer["room_id"]}

    async def knows(self, room_id):
        """Waits until the sync brought a room: nio sends only to rooms it knows."""
        for _ in range(300):
            if room_id in self.client.rooms:
                return
            await asyncio.sleep(0.05)
        raise Refused(0, "LAB_NOT_SYNCED", f"{room_id} did not come with the sync")

    async def join(self, room_id):
        # Another server stores an invitation only after it was taken here, and a program is quick
        # enough to come in between.
        for last in [False, False, False, True]:
            try:
                await self.called("POST", f"/_matrix/client/v3/rooms/{room_id}/join", {})
                break
            except Refused as refused:
                if last or refused.answer["status"] != 403:
                    raise
                await asyncio.sleep(0.25)
        await self.knows(room_id)
        return {}

    async def send(self, room_id, text, msgtype="m.text"):
        content = {"msgtype": msgtype, "body": text}
        return await self.send_event(room_id, "m.room.message", content)

    async def send_event(self, room_id, type, content):
        answer = await self.client.room_send(
            room_id, type, content, ignore_unverified_devices=True
        )
        if not hasattr(answer, "event_id"):
            raise Refused(0, getattr(answer, "status_code", None), str(answer))
        return {"event_id": answer.event_id}

    async def rotate(self, room_id):
        """The next message begins a new Megolm session, so its key goes out again."""
        self.client.invalidate_outbound_session(room_id)
        return {}

    async def run(self):
        commands = {
            "login": self.login,
            "create_dm": self.create_dm,
            "join": self.join,
            "send": self.send,
            "send_event": self.send_event,
            "rotate": self.rotate,
            "request": self.request,
        }
        reader = asyncio.StreamReader(limit=2**24)
        protocol = asyncio.StreamReaderProtocol(reader)
        await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
        while line := await reader.readline():
            command = json.loads(line)
            number = command.pop("id")
            name = command.pop("cmd")
            try:
                result = await commands[name](**command)
                write({"id": number, "ok": True, "result": result})
            except Refused as refused:
                write({"id": number, "ok": False, "error": refused.answer})
            except Exception as error:  # noqa: BLE001, the other side must hear of it
                answer = {"status": 0, "errcode": type(error).__name__, "message": str(error)}
                write({"id": number, "ok": False, "error": answer})
        if self.syncing:
            self.syncing.cancel()
        if self.client:
            await self.client.close()


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    asyncio.run(Host().run())
